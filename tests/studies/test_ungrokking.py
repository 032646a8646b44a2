"""The study of ungrokking on networks whose accuracy is known; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.analysis.doses import half_lost
from undergrowth.store import Run
from undergrowth.studies.threshold import NOT_EVERY_DOSE
from undergrowth.studies.ungrokking import (
    ALL,
    HELD,
    SHARES,
    SMALLEST,
    STRONG,
    STUDY,
    USUAL,
    WEAK,
    Continued,
    continued,
)

SPECS = {arm.name: arm.spec for arm in STUDY.arms("standard")}
Level = float | Callable[[int], float]


def ending_at(level: float, seed: int, arm: str) -> Run:
    """A run whose validation accuracy ends about there."""
    spec = SPECS[arm].replace(steps=STEPS[-1]).seeded(seed)
    end = min(1.0, level + seed / 1000)
    curves = {"train_accuracy": [0.1, *[1.0] * 5], "val_accuracy": [0.1, 0.5, 1.0, 0.9, 0.9, end]}
    return MadeUpRun(spec, curves)


def runs(levels: Mapping[Continued, Level]) -> dict[str, list[Run]]:
    return {
        each.name: [
            ending_at(level(seed) if callable(level) else level, seed, each.name) for seed in range(6)
        ]
        for each, level in levels.items()
    }


FEW, FEW_UNDECAYED = Continued(SMALLEST, USUAL), Continued(SMALLEST, 0.0)
WHOLE, WHOLE_UNDECAYED = Continued(ALL, USUAL), Continued(ALL, 0.0)


@pytest.mark.parametrize(
    ("few", "whole", "said"),
    [
        (0.9, 0.3, "supported"),
        (0.05, 0.98, "contradicted"),
        (0.97, 0.98, "no effect"),
        (lambda seed: (0.2, 0.98)[seed % 2], 0.98, "inconclusive"),
    ],
)
def test_few_examples_beside_all(few: Level, whole: float, said: str) -> None:
    assert ruling_of(STUDY, "few-decayed", runs({FEW: few, WHOLE: whole}), "standard") == said
    undecayed = runs({FEW_UNDECAYED: few, WHOLE_UNDECAYED: whole})
    assert ruling_of(STUDY, "few-undecayed", undecayed, "standard") == said
    between = runs({FEW: few, FEW_UNDECAYED: whole})
    assert ruling_of(STUDY, "decay-decides", between, "standard") == said


def with_reach(reach: float, seed: int, arm: str) -> Run:
    """A run with such a reach at its end."""
    run = ending_at(0.9, seed, arm)
    values = np.array([1.0, reach * (1 + seed / 1000)])
    reach_whole = xr.DataArray(values, {"step": [0, STEPS[-1]]}, ("step",))
    return MadeUpRun(
        run.spec, {n: run.curves[n].values.tolist() for n in CURVES}, reach_whole=reach_whole
    )


CURVES = ("train_accuracy", "val_accuracy")


@pytest.mark.parametrize(
    ("few", "whole", "said"),
    [
        (3.0, 30.0, "supported"),
        (30.0, 3.0, "contradicted"),
        (29.0, 30.0, "no effect"),
        (lambda seed: (3.0, 60.0)[seed % 2], 30.0, "inconclusive"),
    ],
)
def test_whether_reach_is_lost(few: Level, whole: float, said: str) -> None:
    arms: dict[Continued, Level] = {FEW: few, WHOLE: whole}
    made = {
        each.name: [with_reach(of(s) if callable(of) else of, s, each.name) for s in range(6)]
        for each, of in arms.items()
    }
    assert ruling_of(STUDY, "reach-lost-decayed", made, "standard") == said


def test_hysteresis_is_what_from_scratch_lacks() -> None:
    some, scratch = Continued(HELD, USUAL), Continued(HELD, USUAL, is_from_scratch=True)
    stays = runs({some: 0.98, scratch: 0.1})
    found = verdict_of(STUDY, "hysteresis-decayed", stays, "standard")
    assert found.ruling == "supported"
    assert found.says == "+88.0 points of accuracy"
    both = runs({some: 0.98, scratch: 0.98})
    assert ruling_of(STUDY, "hysteresis-decayed", both, "standard") == "no effect"


def at_decays(strong: float, weak: float) -> dict[str, list[Run]]:
    """Validation is lost at all shares below one that is of the decay."""
    return runs(
        {
            Continued(keep, decay): 0.98 if keep > lost else 0.02
            for decay, lost in ((STRONG, strong), (WEAK, weak))
            for keep in (*SHARES["standard"], ALL)
        }
    )


@pytest.mark.parametrize(
    ("strong", "weak", "said"),
    [(0.35, 0.05, "supported"), (0.05, 0.35, "contradicted"), (0.25, 0.25, "no effect")],
)
def test_the_threshold_at_two_decays(strong: float, weak: float, said: str) -> None:
    assert ruling_of(STUDY, "threshold-by-decay", at_decays(strong, weak), "standard") == said


def test_the_threshold_is_between_two_shares_and_open_where_nothing_is_lost() -> None:
    found = verdict_of(STUDY, "threshold-by-decay", at_decays(0.35, 0.15), "standard")
    assert found.estimate.effect == pytest.approx(np.log10((0.3 * 0.4 / (0.1 * 0.2)) ** 0.5), abs=0.01)
    never = verdict_of(STUDY, "threshold-by-decay", at_decays(0.35, 0.0), "standard")
    assert {high for _, high in never.values.values()} == {np.inf}  # type: ignore[misc]
    assert half_lost({1.0: 0.3, 0.1: 0.9}) == (0.0, np.inf)
    part = {name: its for name, its in at_decays(0.35, 0.15).items() if "3%" not in name}
    assert verdict_of(STUDY, "threshold-by-decay", part, "standard").missing == {NOT_EVERY_DOSE: 6}


def test_a_fork_that_diverged_or_stopped_early_is_missing_for_that_reason() -> None:
    every = runs({FEW: 0.05, WHOLE: 0.98})
    every[FEW.name][0].__dict__.update(status="failed")
    every[FEW.name][1].__dict__.update(
        curves=every[FEW.name][1].curves.sel(step=slice(None, STEPS[3])), spec=SPECS[FEW.name].seeded(1)
    )
    found = verdict_of(STUDY, "few-decayed", every, "standard")
    assert found.missing == {"diverged": 1, "stopped too early": 1}
    assert found.estimate.n == 4


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_the_arms_are_forks_where_it_groks_and_the_same_examples_from_scratch(budget) -> None:
    STUDY.check(budget)
    by_name = {arm.name: arm for arm in STUDY.arms(budget)}
    assert not any(each.is_primary for each in STUDY.endpoints(budget))
    fork, scratch = (by_name[Continued(HELD, 0.0, of).name] for of in (False, True))
    assert fork.spec.fork is not None
    assert scratch.spec.fork is None
    assert [i.action.name for i in fork.spec.interventions] == ["set_data", "set_weight_decay"]
    assert fork.spec.interventions[0].action == scratch.spec.interventions[0].action
    no_op = by_name[WHOLE.name].spec.interventions
    assert [i.action.name for i in no_op] == ["no_op"]
    waits = {e.name: e.waits_for for e in STUDY.endpoints(budget)}
    assert bool(waits["threshold-by-decay"]) == (budget == "quick")


def test_figures_have_their_numbers() -> None:
    every = runs(dict.fromkeys(continued("standard"), 0.5))
    by_share, over_steps = STUDY.answer(table_of(STUDY, every, "standard")).figures
    assert len(by_share.table) == len(continued("standard"))
    assert by_share.table["value"].to_numpy() == pytest.approx(0.5025)
    assert set(over_steps.table["panel"]) == {
        f"decay {decay:g} from grokked on" for decay in (0.0, WEAK, USUAL, STRONG)
    }
    assert STUDY.answer(table_of(STUDY, {})).figures == ()
    assert {v.ruling for v in STUDY.answer(table_of(STUDY, {})).verdicts} == {"open"}
