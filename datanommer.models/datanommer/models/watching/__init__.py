"""How it is with an archive and its hub: what ``datanommer-status`` shows, and a monitor judges.

What cannot be seen (the database is away, a folder is somebody else's) is said, and the rest is
seen all the same.
"""
