"""Signatures: whether a message comes from whom it claims.

The messages of the bus are validated when they are received; ``datanommer-verify`` checks those of
the archive again.
"""
