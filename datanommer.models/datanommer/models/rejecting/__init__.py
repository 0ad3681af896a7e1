"""The rejects in the database: listed, exported, and tried again.

``datanommer-rejected`` calls this room. A reject is made in `datanommer.models.envelopes.reject`
and stored by `datanommer.models.storing.rejects`.
"""
