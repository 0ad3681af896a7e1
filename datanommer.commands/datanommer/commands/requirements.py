"""Checks whether the requirements of the commands are installed, once a command has failed."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import PackageNotFoundError, requires, version

_MISSING = "missing"


def refuse_others() -> None:
    """End with one line if a requirement is missing, or installed in a release that does not fit.

    Another application may have brought that release later: pip only warns.
    """
    ours = version("datanommer.commands")
    if (found := _found("datanommer.models")) != ours:
        sys.exit(
            f"Error: datanommer.models is {found} here, and these commands need {ours}, which is "
            "not on PyPI. Put it back, in a checkout: pip install ./datanommer.models"
        )
    for name in ("datanommer.models", "datanommer.commands"):
        for line in requires(name) or []:
            _refuse(line, name)


def _refuse(line: str, name: str) -> None:
    with warnings.catch_warnings():
        # pkg_resources warns that it is going to be removed.
        warnings.simplefilter("ignore")
        from pkg_resources import Requirement
    required = Requirement.parse(line)
    if required.marker and not required.marker.evaluate({"extra": ""}):
        return
    found = _found(required.name)
    if found == _MISSING or not required.specifier.contains(found, prereleases=True):
        sys.exit(
            f"Error: {required.name} is {found} here, and {name} needs {required.specifier}. "
            f"Type: pip install '{required.name}{required.specifier}'"
        )


def _found(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _MISSING
