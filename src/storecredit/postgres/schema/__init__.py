"""What is ours in a database: brought to this version, looked at as it is, and mended."""
