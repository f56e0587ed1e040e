"""Buckets of S3, or of anything that speaks its protocol: named, opened, and what fails, told."""
