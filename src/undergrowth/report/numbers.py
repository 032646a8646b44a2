"""Numbers as people and JSON want them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def rounded(values: Any, digits: int = 5) -> list[Any]:
    """Nested lists of floats with that many significant digits, None for what is not finite."""
    array = np.asarray(values, np.float64)
    if array.ndim > 1:
        return [rounded(row, digits) for row in array]
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in array.tolist()]


def format_number(value: float, digits: int = 3) -> str:
    """A number in running text: significant digits, thousands apart, a real minus sign."""
    if not math.isfinite(value):
        return "unknown"
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPT)}".replace("-", "−")
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace("-", "−")
    return f"{float(f'{value:.{digits}g}'):g}".replace("-", "−")
