"""The study of weighted outliers on forks of known margins; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.store import Run
from undergrowth.studies.threshold import NOT_EVERY_DOSE
from undergrowth.studies.weighted_outliers import (
    BATCHED,
    EVEN,
    HEAVY,
    LIGHT,
    NO_OUTLIER,
    SHUFFLED,
    STRONG,
    STUDY,
    TOO_LATE,
    USUAL,
    WEAK,
    WEIGHTS,
    Outliers,
    outliers,
)

AT = 200
STEPS = AT + 50 * np.arange(5)
Level = float | Callable[[int], float]


def fork(of: Outliers, seed: int, lost: float, *, right_lost: float = 0.0, readings: int = 5) -> Run:
    """A fork that ends without a share of its wrong labels, and without one of its right ones."""
    spec = of.arm("standard").seeded(seed)
    data = spec.data()
    margin = np.ones((readings, len(data.labels)))
    for members, share in ((data.is_noisy, lost), (data.is_train & ~data.is_noisy, right_lost)):
        which = np.flatnonzero(members)
        margin[-1, which[: round(len(which) * min(1.0, share + seed / 500))]] = -1.0
    margin[:, data.is_val] = -1.0
    array = xr.DataArray(margin, {"step": STEPS[:readings]}, ["step", "example"])
    run = MadeUpRun(spec, {}, prediction_margin=array)
    run.__dict__.update(trunks=((spec.fork.of, AT),))  # type: ignore[union-attr]
    return run


def runs(levels: Mapping[Outliers, Level], *, right_lost: float = 0.0) -> dict[str, list[Run]]:
    return {
        each.name: [
            fork(each, s, level(s) if callable(level) else level, right_lost=right_lost)
            for s in range(6)
        ]
        for each, level in levels.items()
    }


LIGHT_DECAYED, BEFORE = Outliers(LIGHT, WEAK), Outliers(LIGHT, USUAL, "nothing")


@pytest.mark.parametrize(
    ("decayed", "before", "said"),
    [
        (0.9, 0.0, "supported"),
        (0.0, 0.9, "contradicted"),
        (0.02, 0.0, "no effect"),
        (lambda seed: (0.0, 0.9)[seed % 2], 0.0, "inconclusive"),
    ],
)
def test_light_outliers_beside_those_of_a_fork_that_does_nothing(
    decayed: Level, before: float, said: str
) -> None:
    for arm, endpoint in (
        (LIGHT_DECAYED, "light-decayed"),
        (Outliers(LIGHT, 0.0), "light-undecayed"),
        (BATCHED, "light-batches"),
    ):
        assert ruling_of(STUDY, endpoint, runs({arm: decayed, BEFORE: before})) == said
    heavy = runs({LIGHT_DECAYED: decayed, Outliers(HEAVY, WEAK): before})
    assert ruling_of(STUDY, "weight-protects", heavy) == said


def test_a_network_that_loses_right_labels_alike_has_unlearned_nothing() -> None:
    both = runs({LIGHT_DECAYED: 0.8}, right_lost=0.8) | runs({BEFORE: 0.0})
    found = verdict_of(STUDY, "light-decayed", both)
    assert found.estimate.effect == pytest.approx(0.0, abs=0.03)
    assert found.ruling == "no effect"
    assert ruling_of(STUDY, "light-shuffled", runs({SHUFFLED: 0.8}, right_lost=0.8)) == "no effect"
    assert ruling_of(STUDY, "light-kept", runs({BEFORE: 0.3})) == "supported"


def at_decays(strong: float, weak: float) -> dict[str, list[Run]]:
    """Outliers are unlearned at all weights below one that is of the decay."""
    return runs(
        {
            Outliers(weight, decay): 0.95 if weight < protects else 0.0
            for decay, protects in ((STRONG, strong), (WEAK, weak))
            for weight in WEIGHTS
        }
    )


@pytest.mark.parametrize(
    ("strong", "weak", "said"),
    [(8.0, 0.5, "supported"), (0.5, 8.0, "contradicted"), (2.0, 2.0, "no effect")],
)
def test_the_weight_that_protects_at_two_decays(strong: float, weak: float, said: str) -> None:
    assert ruling_of(STUDY, "threshold-by-decay", at_decays(strong, weak)) == said


def test_a_threshold_beyond_the_weights_is_open_on_that_side() -> None:
    found = verdict_of(STUDY, "threshold-by-decay", at_decays(99.0, 2.0))
    assert {high for _, high in found.values.values()} == {np.inf}  # type: ignore[misc]
    assert found.ruling == "supported"
    part = {k: its for k, its in at_decays(2.0, 2.0).items() if k != Outliers(EVEN, WEAK).name}
    assert verdict_of(STUDY, "threshold-by-decay", part).missing == {NOT_EVERY_DOSE: 6}


def test_forks_without_an_outlier_or_that_came_too_late_are_counted() -> None:
    every = runs({LIGHT_DECAYED: 0.9, BEFORE: 0.0})
    forks = every[LIGHT_DECAYED.name]
    forks[0] = fork(LIGHT_DECAYED, 0, 0.9, readings=1)
    forks[1] = MadeUpRun(LIGHT_DECAYED.arm("standard").seeded(1), {})
    margin = forks[2]["prediction_margin"].copy()
    margin[0, forks[2].spec.data().is_noisy] = -1.0
    forks[2].readings["prediction_margin"] = margin  # type: ignore[attr-defined]
    forks[3].__dict__.update(status="failed")
    found = verdict_of(STUDY, "light-decayed", every)
    assert found.missing == {TOO_LATE: 2, NO_OUTLIER: 1, "diverged": 1}
    assert found.estimate.n == 2


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_the_arms_differ_in_weight_and_decay_and_each_weight_has_its_no_op(budget) -> None:
    STUDY.check(budget)
    by_name = {arm.name: arm for arm in STUDY.arms(budget)}
    assert not any(each.is_primary for each in STUDY.endpoints(budget))
    for weight in WEIGHTS:
        no_op = by_name[Outliers(weight, USUAL, "nothing").name]
        assert [i.action.name for i in no_op.spec.interventions] == ["no_op"]
        assert no_op.role == "control"
        assert no_op.trunk is not None
        assert no_op.trunk.spec.weights.weight == weight  # type: ignore[union-attr]
    assert [i.action.name for i in by_name[BATCHED.name].spec.interventions] == [
        "set_batch",
        "set_weight_decay",
    ]


def test_the_figure_has_a_panel_for_each_decay_and_a_line_for_each_weight() -> None:
    every = runs(dict.fromkeys(outliers("quick"), 0.5))
    (figure,) = STUDY.answer(table_of(STUDY, every)).figures
    assert {"decay 0", "decay 4", "decay 5", "decay 1, no-op"} <= set(figure.table["panel"])
    at_end = figure.table[figure.table["step"] == STEPS[-1]]
    shares = dict(zip(list(at_end["line"]), list(at_end["mean"]), strict=False))
    assert shares["wrong, weight 1"] == pytest.approx(0.5, abs=0.03)
    assert shares["right labels, weight 1/4 run"] == pytest.approx(1.0, abs=0.03)
    assert STUDY.answer(table_of(STUDY, {})).figures == ()
