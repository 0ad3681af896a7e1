"""Which messages are meant: filters, and the predicates of SQL that they become.

What people type is read here, too: patterns of topics, values inside a message, names with typos.
"""
