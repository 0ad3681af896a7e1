"""What can be seen of an archive: its schema, its server, and what is in it.

``watching`` calls this room. What cannot be seen is said, and the rest is seen all the same.
"""
