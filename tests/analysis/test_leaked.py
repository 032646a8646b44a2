"""An onset beyond what swaps of training pairs give away."""

from __future__ import annotations

import numpy as np
import pytest

from tests.studies.made_up import MadeUpRun
from undergrowth.analysis import events
from undergrowth.analysis.leaked import beyond_leak, describe_onset_beyond_leak
from undergrowth.spec import RunSpec
from undergrowth.store.events import DEFAULT_RULES, Rules
from undergrowth.tasks import CommutationSafe, LeakyRandom, Modular

LEAKY = RunSpec(task=Modular(operation="x*y", p=31), split=LeakyRandom(frac_train=0.5), steps=900)
SAFE = LEAKY.replace(split=CommutationSafe(frac_train=0.5))
STEPS = np.arange(0, 1000, 100)
PLATEAU = [0.0, 0.1, 0.3, 0.45, 0.45, 0.45, 0.46, 0.7, 0.9, 1.0]
"""Memorised at 100, where swaps have barely begun to tell; beyond them from 700 on."""


def run_of(spec: RunSpec, val: list[float]) -> MadeUpRun:
    train = [0.0, *(1.0 for _ in val[1:])]
    return MadeUpRun(spec, {"train_accuracy": train, "val_accuracy": val}, STEPS.tolist())


def onset(run: MadeUpRun, rules: Rules) -> int | None:
    return events(run.curves, rules)["onset"].first


def test_it_waits_until_accuracy_is_above_what_the_swaps_give() -> None:
    run = run_of(LEAKY, PLATEAU)
    assert onset(run, DEFAULT_RULES) == 200
    assert onset(run, beyond_leak(run)) == 700
    assert beyond_leak(run).leaked == pytest.approx(0.5 * 30 / 31, abs=0.06)


def test_where_nothing_leaks_the_rules_are_the_same() -> None:
    assert beyond_leak(run_of(SAFE, PLATEAU)) == DEFAULT_RULES


def test_a_run_that_stays_at_what_the_swaps_give_has_no_onset() -> None:
    run = run_of(LEAKY, [*PLATEAU[:6], 0.46, 0.47, 0.47, 0.47])
    assert onset(run, DEFAULT_RULES) == 200
    assert onset(run, beyond_leak(run)) is None


def test_levels_of_ones_own_are_kept_and_said() -> None:
    rules = Rules(onset=0.4)
    run = run_of(LEAKY, PLATEAU)
    assert beyond_leak(run, rules).onset == 0.4
    assert onset(run, beyond_leak(run, rules)) == 800
    assert "+ 0.4" in describe_onset_beyond_leak(rules)
    assert "and > 0.444 + 0.4 until" in beyond_leak(run, rules).describe("onset")
    assert " and " not in rules.describe("onset")
