"""What a value looks like in a notebook: a small table in the notebook's own colours, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from undergrowth.plain_text import in_one_line

LONGEST = 80
"""Characters of a cell; what is longer is cut, and stands whole in the cell's tooltip."""

CELL = "text-align:left;vertical-align:top;background:transparent;color:inherit"
HEAD = f"{CELL};font-weight:600;border-bottom:1px solid currentColor"


def html_table(title: str, fields: Mapping[str, Any], longest: int = LONGEST) -> str:
    """A title over a row for each field: its name and its value; longest: characters of a value.

    >>> html_table("Seeds", {"model": "<3>"}).count("&lt;3&gt;")
    1
    """
    rows = "".join(f"<tr>{_cell(name)}{_cell(value, longest)}</tr>" for name, value in fields.items())
    return _framed(title, f"<table><tbody>{rows}</tbody></table>" if rows else "")


def html_list(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]], note: str = "") -> str:
    """A title over a table with a row for each of several things, without the columns in which none has
    anything; note: a line below.
    """
    rows = list(rows)
    some = [k for k in range(len(heads)) if any(row[k] not in (None, "") for row in rows)]
    heads, rows = [heads[k] for k in some], [[row[k] for k in some] for row in rows]
    head = "".join(f'<th style="{HEAD}">{escape(each)}</th>' for each in heads)
    body = "".join(f"<tr>{''.join(map(_unbroken, row))}</tr>" for row in rows)
    return _framed(title, f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", note)


def html_progress(done: float, of: float, line: str, rows: Iterable[Sequence[Any]]) -> str:
    """A bar with a line beside it, over a row for each thing under way."""
    bar = f'<progress max="{max(of, 1):g}" value="{done:g}" style="vertical-align:middle"></progress>'
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f"<table><tbody>{body}</tbody></table>" if body else ""
    return f'<div style="color:inherit">{bar} {_escaped(line)}{table}</div>'


def _framed(title: str, table: str, note: str = "") -> str:
    scrolled = f'<div style="overflow-x:auto">{table}</div>' if table else ""
    below = f'<div style="opacity:0.75">{_escaped(note)}</div>' if note else ""
    return f'<div style="color:inherit"><strong>{_escaped(title)}</strong>{scrolled}{below}</div>'


def _cell(value: Any, longest: int = LONGEST) -> str:
    text = "–" if value is None else in_one_line(_figures(value))
    whole = "" if len(text) <= longest else f' title="{escape(text)}"'
    short = text if not whole else f"{text[: longest - 1]}…"
    return f'<td style="{CELL}"{whole}>{escape(short)}</td>'


def _unbroken(value: Any) -> str:
    return _cell(value).replace(CELL, f"{CELL};white-space:nowrap", 1)


def _figures(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return escape(in_one_line(text))
