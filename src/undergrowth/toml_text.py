"""TOML text as plain data: whatever cannot be read is told in one line."""

from __future__ import annotations

import tomllib
from typing import Any

DEEPEST = 32
"""Tables and lists within each other: a spec needs seven, and no reader should have to dig further."""


def parsed(text: str) -> dict[str, Any]:
    """The tables of TOML text; a byte order mark before it, as Windows writes, is passed over.

    Raises ValueError, in one line, where it is not TOML, holds a number of thousands of digits, or
    nests deeper than 32 tables and lists.
    """
    try:
        tables = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:
        raise ValueError(_too_deep()) from None
    except ValueError:  # Python reads no integer of more than some 4,300 digits
        raise ValueError(
            "not TOML: a number has thousands of digits: write a smaller one, or put text in quotes"
        ) from None
    if _is_deeper(tables, DEEPEST):
        raise ValueError(_too_deep())
    return tables


def _is_deeper(value: Any, most: int) -> bool:
    """Whether tables and lists are within each other more than so many times."""
    level = [value]
    for _ in range(most + 1):
        inside = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [item for items in inside for item in items]
        if not level:
            return False
    return True


def _too_deep() -> str:
    return (
        f"tables and lists are nested more than {DEEPEST} deep, and no spec needs that: remove brackets"
    )
