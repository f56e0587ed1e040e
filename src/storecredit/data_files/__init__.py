"""Files of the data directory, beside the database: written to outlive a power cut."""
