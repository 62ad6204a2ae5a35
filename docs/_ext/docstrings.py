"""From the house's docstrings, which are made for reading in an editor, to reStructuredText.

Single backticks are code (Sphinx's `default_role` sees to that). Formulas are indented and become code blocks; bars
and the star of `(*batch, n)` outside of code are plain characters; arXiv numbers become links.
"""

import re
from typing import Any

from sphinx.application import Sphinx

SECTION = re.compile(r"[A-Z][a-z]+:$")
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def escape(line: str) -> str:
    """Escape bars and stars outside of backticks, and link papers."""
    pieces = line.split("`")
    pieces[::2] = [re.sub(r"([|]|(?<=[ (])\*(?=\w))", r"\\\1", piece) for piece in pieces[::2]]
    return ARXIV.sub(r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", "`".join(pieces))


def translate(lines: list[str]) -> list[str]:
    """Return the lines of a docstring as reStructuredText for napoleon."""
    found: list[str] = []
    section, formula = "", False
    for line in lines:
        if SECTION.match(line):
            section = line.removesuffix(":")
        if section == "Examples":
            found.append(line)
            continue
        indented = not section and line.startswith("    ")
        if indented and not formula:
            found += [".. code-block:: none", ""]
        formula = indented or (formula and not line)
        found.append(line if indented else escape(line))
    return found


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Translate a docstring before napoleon sees it."""
    lines[:] = translate(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
