"""What the bus hands over, from when it is received until it is ready to be stored.

The consumer and ``datanommer-spool`` use it. This room writes to no database.
"""
