"""From the archive into a Parquet data set: what has arrived, a month anew, what may be deleted.

The commands call this room. It needs the extra ``datanommer.models[parquet]``.
"""
