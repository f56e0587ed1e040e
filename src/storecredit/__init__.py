"""Prepaid credits for API businesses: one credit per generation, given back when it fails."""

__version__ = "0.1.0"
