"""The console scripts: each first makes Ctrl-C work, and only then imports its command.

The entry points name the modules of the commands: ``datanommer.commands.script:create_db``.
"""

from __future__ import annotations

# The C half of `signal`, which Python has loaded already: the other half would take 3 ms.
import _signal  # type: ignore[import-not-found]
import gc
import os
from collections.abc import Callable

from datanommer.commands.command_list import COMMANDS

# How many new objects start a garbage collection.
_GARBAGE = 50_000
_MODULES = {"cli", *(name.replace("-", "_") for name in COMMANDS)}


def __getattr__(name: str) -> Callable[[], None]:
    """The console script of the command in the module `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return lambda: _run(name)


def _run(name: str) -> None:
    # A shell may have told a background job to ignore Ctrl-C.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))
    # Imports leave no garbage, but Python would scan them ten times.
    gc.set_threshold(_GARBAGE)
    from importlib import import_module

    from datanommer.commands import interruption

    if any(variable.startswith("_DATANOMMER_") for variable in os.environ):
        # A shell asks for completions.
        from datanommer.commands import shells

        shells.register()
    with interruption.console_script():
        try:
            import_module(f"datanommer.commands.{name}").main()
        except Exception:
            # Checked only now: it takes as long as everything else that `--help` does.
            from datanommer.commands import requirements

            requirements.refuse_others()
            raise
        finally:
            # Python would scan everything once more at its end: a sixth of the time of a short
            # command.
            gc.freeze()
