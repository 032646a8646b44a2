"""What a verdict says beside its ruling: p, agreement, seeds enough, and itself as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from undergrowth.analysis import Above, Estimate, Exceeds, Verdict, difference, estimate

NAN = math.nan


def verdict(found: Estimate, **more) -> Verdict:
    fields = {"rule": Exceeds(0.1), "is_primary": True, **more}
    return Verdict("P16", "saliency", "more-skewed", "change of skewness", found, **fields)


def of(low: float, high: float, n: int = 16, n_control: int | None = None) -> Estimate:
    return Estimate((low + high) / 2, low, high, 0.95, n, "made up", n_control)


def test_it_is_ruled_by_its_rule_with_the_p_of_that() -> None:
    found = verdict(estimate([0.4, 0.5, 0.7, 0.6]))
    assert (found.ruling, found.threshold) == ("supported", 0.1)
    assert found.p == found.rule.p(found.estimate) < 0.05
    assert replace(found, rule=Exceeds(2.0)).ruling == "no effect"


def test_what_waits_for_other_runs_is_open_however_clear_its_number() -> None:
    found = verdict(of(5.0, 6.0), waits_for="runs at its own scale")
    assert (found.ruling, found.estimate.low) == ("open", 5)
    assert math.isnan(found.p)
    assert found.to_dict()["waits_for"] == "runs at its own scale"


def test_one_seed_is_inconclusive_however_large_the_effect() -> None:
    alone = verdict(estimate([1e6]))
    assert alone.ruling == "inconclusive"
    assert alone.to_dict()["effect"] == 1e6


@pytest.mark.parametrize(
    ("n", "n_control", "is_claim"),
    [(15, None, False), (16, None, True), (16, 8, False), (8, 16, False), (16, 16, True)],
)
def test_it_is_a_claim_from_sixteen_seeds_on_on_both_sides(
    n: int, n_control: int | None, is_claim: bool
) -> None:
    assert verdict(of(0.1, 0.2, n, n_control)).is_claim == is_claim


@pytest.mark.parametrize(
    ("rule", "effect", "agrees"),
    [
        (Exceeds(0.1), 0.05, True),  # smaller than matters, and as claimed
        (Exceeds(0.1), -0.05, False),
        (Above(0.5), 0.4, False),
        (Above(0.5), 0.6, True),
        (Above(-0.1), -0.05, True),
    ],
)
def test_an_effect_agrees_where_it_is_on_the_side_that_is_claimed(rule, effect, agrees) -> None:
    assert verdict(of(effect - 1, effect + 1), rule=rule).agrees == agrees


def test_it_has_the_keys_that_are_promised() -> None:
    told = verdict(
        difference([0.4, 0.5, 0.7], [0.1, 0.2, 0.0]),
        arm="true",
        control="shuffled",
        missing={"diverged": 2},
        worst_case=(-0.1, math.inf),
        chosen="confirm",
        p_adjusted=0.04,
    ).to_dict()
    promised = {
        "claim": "P16",
        "study": "saliency",
        "endpoint": "more-skewed",
        "primary": True,
        "statistic": "change of skewness",
        "arm": "true",
        "control": "shuffled",
        "level": 0.95,
        "sesoi": 0.1,
        "rule": Exceeds(0.1).describe(),
        "n_seeds": 3,
        "n_control": 3,
        "seeds": "confirm",
        "missing": {"diverged": 2},
        "worst_case": [-0.1, None],
        "p_adjusted": 0.04,
    }
    assert promised.items() <= told.items()
    assert {"ruling", "effect", "says", "interval", "method", "p", "how", "waits_for", "note"} <= set(
        told
    )


@pytest.mark.parametrize("bounds", [(0.1, 0.5), (NAN, NAN), (-math.inf, math.inf), (0.2, math.inf)])
def test_it_is_json_whatever_its_numbers(bounds: tuple[float, float]) -> None:
    told = verdict(of(*bounds)).to_dict()
    back = json.loads(json.dumps(told, allow_nan=False))
    assert back == told
    assert back["interval"] == [b if math.isfinite(b) else None for b in bounds]
