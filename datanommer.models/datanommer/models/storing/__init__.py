"""Batches of messages into the database: each message stored once, or kept among the rejects.

The consumer and the commands call `batch.store` and `reindex`; nothing else writes messages. Rows
go into every table in one order, whoever writes, so that two writers wait and do not deadlock.
"""
