"""The package's docstrings as reStructuredText: they are plain text, with code in single backticks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

from undergrowth.values import Value

MARKED_UP = re.compile(r"([\\*|]|_(?!\w))")
"""What reStructuredText would take for mark-up: `|attribution|`, `w*`, `grad_`."""


def setup(app: Sphinx) -> None:
    """Turn each docstring before Sphinx reads it, and give values the signature of their fields."""
    app.connect("autodoc-process-docstring", _turn)
    app.connect("autodoc-process-signature", _of_fields)


def _of_fields(app, what, name, of, options, signature, returns) -> tuple[str, str] | None:
    """Of a value its fields, with what may be in them and their defaults, and without pydantic's own."""
    if what != "class" or not issubclass(of, Value):
        return None
    fields = [_field(name, its) for name, its in of.model_fields.items() if name != "name"]
    return f"({', '.join(['*', *fields] if fields else [])})", ""


def _field(name: str, its: FieldInfo) -> str:
    takes = stringify_annotation(its.annotation, "smart").replace("~", "")
    takes = re.sub(r"\bundergrowth\.[\w.]+\.|\btyping\.|\bcollections\.abc\.", "", _without_rules(takes))
    default = "" if its.is_required() else f" = {its.get_default(call_default_factory=True)!r}"
    return f"{name}: {takes}{default}"


def _without_rules(takes: str) -> str:
    """Annotated[int, Ge(ge=1)] is told as int: the rule is in the message of who breaks it."""
    return re.sub(r"Annotated\[((?:[^\[\],]|\[[^\[\]]*\])+)(?:, [^\[\]]*)?\]", r"\1", takes)


def _turn(app, what, name, of, options, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def as_rst(lines: Sequence[str]) -> list[str]:
    """Paragraphs with their special characters escaped, indented ones as they stand, sessions and
    formulas as they are.

    >>> as_rst(["The mean of |s| over `steps`."])
    ['The mean of \\\\|s\\\\| over ``steps``.']
    """
    return [line for paragraph in _paragraphs(lines) for line in (*_of(paragraph), "")][:-1]


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    found: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            found.append(line)
        elif found:
            yield found
            found = []


def _of(paragraph: list[str]) -> list[str]:
    first = paragraph[0]
    if first.startswith((">>> ", ".. ")):
        return paragraph
    if first.startswith(" "):
        return ["::", "", *paragraph]
    parts = re.split(r"`([^`]+)`", "\n".join(line.strip() for line in paragraph))
    text = [
        f"``{' '.join(p.split())}``" if i % 2 else MARKED_UP.sub(r"\\\1", p) for i, p in enumerate(parts)
    ]
    return "".join(_apart(text)).split("\n")


def _apart(parts: list[str]) -> Iterator[str]:
    """A literal must not touch a letter: an escaped space parts them."""
    for i, part in enumerate(parts):
        if i % 2 == 0 and i and part[:1].isalnum():
            yield "\\ "
        yield part
        if i % 2 == 0 and part[-1:].isalnum() and i + 1 < len(parts):
            yield "\\ "
