"""Envelopes of the bus, read and written: an envelope becomes a row or a reject, and back again.

This room is pure Python: it knows neither SQL nor SQLAlchemy. Anybody may call it.
"""
