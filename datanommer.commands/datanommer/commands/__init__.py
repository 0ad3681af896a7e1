"""Tools for the shell around the archive of a fedmsg bus: one command a module.

Each is a console script of its own (``datanommer-dump``) and a part of ``datanommer``
(``datanommer dump``). Data goes to standard output, and messages for people to standard error.
"""

__version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Look the version up only when somebody asks for it: no command has to wait for that."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version(__name__)
