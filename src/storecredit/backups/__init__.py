"""Backups of database, signing key and results: how they are taken, kept and restored."""
