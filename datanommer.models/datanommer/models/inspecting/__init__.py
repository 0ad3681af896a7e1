"""What can be seen of an archive: its schema, its server, and what is in it.

``watching`` calls this room. A part that cannot be seen says why, and does not hide the rest.
"""
