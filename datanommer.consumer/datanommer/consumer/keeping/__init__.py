"""Where a batch goes: into the database, or onto the disk until the database takes it."""
