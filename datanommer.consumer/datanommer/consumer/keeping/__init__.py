"""What becomes of a batch: into the database, or onto the disk until that takes it."""
