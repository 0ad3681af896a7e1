"""Batches of messages into the database: each message stored once, or kept among the rejects.

The consumer and the commands call `batch.store` and `reindex`; nothing else writes messages. All
writers insert rows in the same order, so that two of them wait and do not deadlock.
"""
