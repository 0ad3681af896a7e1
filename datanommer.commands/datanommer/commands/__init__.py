"""Tools for the shell around the archive of a fedmsg bus: one command a module.

Each is a console script of its own (``datanommer-dump``) and a part of ``datanommer``
(``datanommer dump``). Data goes to standard output, what people are to know to standard error.
"""

__version__ = "2.0.0"

__all__ = ["__version__"]
