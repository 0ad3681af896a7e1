"""An envelope made ready to be stored, and what the processors of `fedmsg.meta` know of it.

Nothing here needs a database.
"""
