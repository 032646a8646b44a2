"""A table of text in a section of the page, for what is read rather than drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """columns: what stands above each; rows: cells as they are shown, one a column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
