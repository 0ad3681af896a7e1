"""The database: where it is, the engine and the session, the migrations, time limits.

Whatever talks to PostgreSQL goes through this package. It knows nothing of messages.
"""
