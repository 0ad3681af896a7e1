"""The console scripts: each hears Ctrl-C from its first line on, and only then imports its command.

The entry points name the modules of the commands: ``datanommer.commands.script:create_db``.
"""

from __future__ import annotations

# The half of `signal` in C, which Python has imported: the other half would take 3 ms.
import _signal  # type: ignore[import-not-found]
import gc
import os
from collections.abc import Callable

from datanommer.commands.command_list import COMMANDS

# How many objects a command makes before Python looks whether some are garbage.
_GARBAGE = 50_000
_MODULES = {"cli", *(name.replace("-", "_") for name in COMMANDS)}


def __getattr__(name: str) -> Callable[[], None]:
    """The console script of the command in the module `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return lambda: _run(name)


def _run(name: str) -> None:
    # A shell lets what runs in its background ignore Ctrl-C.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))
    # What a command imports is no garbage. Python would look through it ten times.
    gc.set_threshold(_GARBAGE)
    from importlib import import_module

    from datanommer.commands import interruption

    if any(variable.startswith("_DATANOMMER_") for variable in os.environ):
        # A shell asks what its user may want to type.
        from datanommer.commands import shells

        shells.register()
    with interruption.console_script():
        try:
            import_module(f"datanommer.commands.{name}").main()
        except Exception:
            # Asked only now: it would take as long as all else that `--help` does.
            from datanommer.commands import requirements

            requirements.refuse_others()
            raise
