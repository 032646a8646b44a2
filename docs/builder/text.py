"""Text of the package as Markdown: what it says stays what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

MARKED_UP = re.compile(r"([\\*_<>\[\]{}|~$#])")


def plain(text: object) -> str:
    """A text in which no character is mark-up.

    >>> plain("m*p <= x*y")
    'm\\\\*p \\\\<= x\\\\*y'
    """
    parts = re.split(r"(`[^`]+`)", str(text))
    return "".join(p if i % 2 else MARKED_UP.sub(r"\\\1", p) for i, p in enumerate(parts))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as a Markdown table; cells are Markdown already, with their bars escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def forget(folder: Path, names: Iterable[str]) -> None:
    """Remove the pages of what is no longer there, which were made earlier."""
    for path in folder.glob("*.md"):
        if path.stem not in {*names, "index"}:
            path.unlink()


def write(path: Path, text: str) -> None:
    """Write a page where it is not there as it is: Sphinx reads again what is newer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
