"""Messages as JSON records: what the commands print, dump and load again.

The commands call this room. It reads the database, and hands what it parses to whoever stores it.
"""
