"""S3 buckets, of Amazon or of whoever speaks its protocol: named, opened, and what fails, told."""
