"""The site of the documentation: ``sphinx-build docs FOLDER``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_ROOT = Path(__file__).parent.parent
# What stands here, and the packages of this checkout, not those that are installed.
sys.path[:0] = [str(_ROOT / "docs"), str(_ROOT), *map(str, _ROOT.glob("datanommer.*/"))]

from distribution import VERSION  # noqa: E402  of the folder above

project = "datanommer"
author = "the developers of datanommer"
release = VERSION
html_theme = "furo"
html_title = f"datanommer {release}"
html_show_copyright = False
_REPOSITORY = "https://github.com/fedora-infra/datanommer"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "all_commands"]
# Docstrings have names in single backticks: a link if this site has the name, else just code.
default_role = "py:obj"
# The site is built without a network, so what others have documented is no link. Nor is what is
# private.
nitpick_ignore_regex = [("py:obj", ".*"), ("py:.*", r"(?!datanommer\.).*|.*\._\w+")]
napoleon_use_ivar = True
# Beyond that, each argument has a line of its own.
python_maximum_signature_line_length = 88


def setup(app: Sphinx) -> None:
    """What Sphinx calls first."""
    app.connect("doctree-resolved", _lead_to_pages)
    app.connect("doctree-resolved", _leave_captions_to_the_sidebar)


def _leave_captions_to_the_sidebar(_app: Sphinx, doctree: nodes.document, _page: str) -> None:
    """A part of the index has a heading, and needs no caption below it."""
    for toctree in doctree.findall(addnodes.toctree):
        toctree["caption"] = None


def _lead_to_pages(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let a link lead to a page of the site, or to a file of the repository.

    The pages name each other, and other files, by their paths. So their links also work in a
    checkout, and where the repository is shown.
    """
    for reference in doctree.findall(nodes.reference):
        target = reference.get("refuri", "")
        if ":" in target or not target or reference.get("internal"):
            continue
        path, mark, anchor = target.partition("#")
        file = os.path.normpath(Path("docs", page).parent / path) if path else f"docs/{page}.rst"
        name = file.removeprefix("docs/").removesuffix(".rst")
        if file.startswith("docs/") and name in app.env.found_docs:
            reference["refuri"] = app.builder.get_relative_uri(page, name) + mark + anchor
        else:
            reference["refuri"] = f"{_REPOSITORY}/blob/develop/{file}{mark}{anchor}"
