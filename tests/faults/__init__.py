"""A real hub, a real publisher and a PostgreSQL of its own that is broken on purpose.

``python -m tests.faults --seed N --minutes M``, from the root of the checkout, runs random
schedules of faults and says after each what became of the messages.
"""
