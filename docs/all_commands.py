"""Lets a page of the site show all commands: ``.. all-commands::``, by way of sphinx-click.

sphinx-click imports one command, and knows nothing of our lists and of the examples of a command.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sphinx.util.docutils import SphinxDirective

from datanommer.commands.command_list import GROUPS

if TYPE_CHECKING:
    import click
    from docutils import nodes
    from sphinx.application import Sphinx

# The page tells of these once.
_OF_ALL = {"--url", "--config-filename", "--version"}


def setup(app: Sphinx) -> None:
    """What Sphinx calls first."""
    app.setup_extension("sphinx_click")
    app.add_directive("all-commands", _AllCommands)
    app.connect("sphinx-click-process-description", _lead_to_the_explanation)
    app.connect("sphinx-click-process-options", _as_in_the_help)
    app.connect("sphinx-click-process-arguments", _leave_to_the_usage)
    app.connect("sphinx-click-process-epilog", _add_examples)


class _AllCommands(SphinxDirective):
    """A section for each command, in the groups of ``datanommer --help``."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for title, group in GROUPS.items():
            lines += [title, "-" * len(title), ""]
            for name in group:
                module = name.replace("-", "_")
                lines += [
                    f".. click:: datanommer.commands.{module}:main",
                    f"   :prog: datanommer-{name}",
                    "   :nested: full",
                    "",
                ]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _lead_to_the_explanation(_app: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    if ctx.parent is None:
        lines += [f"More about it: `{ctx.info_name} <commands.rst#{ctx.info_name}>`__.", ""]


def _as_in_the_help(_app: Sphinx, _ctx: click.Context, lines: list[str]) -> None:
    """Write options as ``--help`` does, and leave out those that all commands have.

    sphinx-click writes values in angle brackets, and lists choices that the help has listed.
    """
    kept = []
    is_kept = True
    for line in lines:
        if line.startswith(".. option:: "):
            is_kept = line.split()[2] not in _OF_ALL
        if is_kept and not line.lstrip().startswith(":options:"):
            kept.append(re.sub(r"^(\.\. option:: .*) <(.*)>$", r"\1 \2", line))
    lines[:] = kept


def _leave_to_the_usage(_app: Sphinx, _ctx: click.Context, lines: list[str]) -> None:
    """Of an argument, sphinx-click tells only whether it is required."""
    lines.clear()


def _add_examples(_app: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    if examples := getattr(ctx.command, "examples", ()):
        lines += [".. rubric:: Examples", "", ".. code-block:: console", ""]
        lines += [*(f"   $ {example}" for example in examples), ""]
