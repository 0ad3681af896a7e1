"""What the bus hands over, from when it is received until it is ready to be stored.

It waits here in memory or in the spool on disk. The consumer puts it in; the consumer and
``datanommer-spool`` take it out. This room writes to no database of the archive.
"""
