"""A log axis always has ticks to read it by, and their labels say where they stand."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, strategies as st

from undergrowth.report.axes import LogScale

LOWS = st.floats(1e-12, 1e12)
RATIOS = st.floats(0, 20).map(lambda decades: 10**decades)


def read(label: str) -> float:
    """The number that a label says."""
    text = label.replace(",", "").replace("−", "-").replace("</sup>", "")
    if "<sup>" in text:
        times, exponent = text.split("10<sup>")
        return float(times.rstrip("×") or 1) * 10.0 ** int(exponent)
    return float(text)


@given(LOWS, RATIOS)
@example(1e6, 1.0015)
@example(1e6, 1 + 4e-6)
def test_there_are_two_labels_wherever_there_are_two_values(low: float, ratio: float) -> None:
    scale = LogScale.of([low, low * ratio])
    at, labels = scale.ticks()
    assert len(at) == len(labels)
    labelled = [(value, label) for value, label in zip(at, labels, strict=True) if label]
    assert len(labelled) >= (2 if ratio > 1.001 else 1)
    for value, label in labelled:
        assert scale.low * 0.99 <= value <= scale.high * 1.06
        assert math.isclose(read(label), value, rel_tol=1e-5)
    assert at == sorted(at)
    assert len({label for _, label in labelled}) == len(labelled)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (2.1, 4.2, ["3", "4"]),
        (2.1, 2.9, ["2.2", "2.4", "2.6", "2.8"]),
        (2e-4, 5e-4, ["2×10<sup>−4</sup>", "5×10<sup>−4</sup>"]),
        (1.0, 1000.0, ["1", "3", "10", "30", "100", "300", "1,000"]),
        (7.0, 7.0, ["7"]),
    ],
)
def test_ticks_stand_at_round_numbers(low: float, high: float, labels: list[str]) -> None:
    assert LogScale.of([low, high]).ticks()[1] == labels
