from __future__ import annotations

import json
import math

import pytest

from undergrowth.analysis import Estimate, Verdict, estimate

NAN = math.nan


def verdict(low: float, high: float, threshold: float = 0.0, n: int = 4) -> Verdict:
    effect = (low + high) / 2
    return Verdict(
        claim="P16",
        study="saliency",
        statistic="change of Gini",
        estimate=Estimate(effect, low, high, 0.95, n, "Student's t"),
        threshold=threshold,
        rule="supported if the whole interval lies above 0",
    )


@pytest.mark.parametrize(
    ("low", "high", "threshold", "ruling"),
    [
        (0.1, 0.5, 0.0, "supported"),
        (-0.5, -0.1, 0.0, "contradicted"),
        (-0.1, 0.5, 0.0, "inconclusive"),
        (0.1, 0.5, 0.3, "inconclusive"),
        (0.1, 0.5, 0.6, "contradicted"),
        (0.0, 0.5, 0.0, "inconclusive"),  # touching is not lying above
        (-0.5, 0.0, 0.0, "inconclusive"),
        (0.2, 0.2, 0.0, "supported"),
        (NAN, NAN, 0.0, "inconclusive"),
    ],
)
def test_the_interval_alone_decides(low: float, high: float, threshold: float, ruling: str) -> None:
    assert verdict(low, high, threshold).verdict == ruling


def test_too_few_seeds_are_inconclusive_however_large_the_effect() -> None:
    alone = Verdict("P1", "grokking", "delay", estimate([1e6]), 0.0, "rule")
    assert alone.verdict == "inconclusive"
    assert alone.to_dict()["effect"] == 1e6


def test_a_verdict_is_a_claim_from_ten_seeds_on() -> None:
    assert [verdict(0.1, 0.2, n=n).is_claim for n in (4, 9, 10, 50)] == [False, False, True, True]


def test_a_verdict_has_the_keys_that_are_promised() -> None:
    told = verdict(0.1, 0.5).to_dict()
    promised = {
        "claim": "P16",
        "study": "saliency",
        "statistic": "change of Gini",
        "effect": 0.3,
        "interval": [0.1, 0.5],
        "level": 0.95,
        "n_seeds": 4,
        "rule": "supported if the whole interval lies above 0",
        "verdict": "supported",
    }
    assert promised.items() <= told.items()
    assert told["threshold"] == 0


@pytest.mark.parametrize("bounds", [(0.1, 0.5), (NAN, NAN), (-math.inf, math.inf)])
def test_a_verdict_is_json_whatever_its_numbers(bounds: tuple[float, float]) -> None:
    told = verdict(*bounds).to_dict()
    back = json.loads(json.dumps(told, allow_nan=False))
    assert back == told
    assert back["interval"] == [b if math.isfinite(b) else None for b in bounds]
