"""Numbers of published verdicts in words: None is one that could not be computed, or no bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None, without: str = "unknown") -> str:
    """Three digits, or what stands where there is none."""
    return without if value is None else f"{value:.3g}"


def bounds(row: Mapping[str, Any]) -> tuple[str, str]:
    """The interval of a verdict, which is open where it has no bound."""
    low, high = row["interval"]
    return number(low, "-∞"), number(high, "∞")
