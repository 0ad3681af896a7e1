"""A Parquet data set on the disk: a folder with a manifest and, by month, files.

It is written, checked and read here, without a database. Whoever works with one holds its lock
(`data_set.locked`). All but the manifest needs the extra ``datanommer.models[parquet]``. The
commands read and check it; ``exporting`` has it written.
"""
