"""Messages that come over AMQP: stored in batches, and acknowledged once they are committed.

fedora-messaging calls `callback`, which puts `batch_consumer` in the place of its own consumer.
"""
