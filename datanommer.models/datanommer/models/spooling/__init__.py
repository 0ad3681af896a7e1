"""What waits on disk while the database is away.

The consumer puts messages in; the consumer and ``datanommer-spool`` take them out. This room writes
to no database.
"""
