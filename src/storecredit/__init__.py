"""Prepaid credits for API businesses: spent on generations, given back when one fails."""

__version__ = "0.1.0"
