"""The options that several commands share: the database, times, filters, and files to read."""
