"""The study of forgetting on forks whose losses are known; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.spec import SpecError
from undergrowth.store import Run
from undergrowth.studies.forgetting import (
    AWAY,
    BACK,
    CLOSED,
    EVERY,
    FEW_MATCHED,
    IN_ORDER,
    KEEP,
    NO_CLASS,
    NO_OP,
    SHUFFLED,
    STUDY,
    TOO_LATE,
    WIDE,
    Forgetting,
    forgettings,
    kept,
    withheld,
)

AT = 600
NEVER = 10_000.0
MAIN = withheld(CLOSED)
FULL, MIXED, BLOCKED = IN_ORDER.values()
Lost = float | Callable[[int], float]


def fork(
    of: Forgetting,
    seed: int,
    shallow: float,
    general: float,
    *,
    back: float = NEVER,
    leads: tuple[float, float] = (2.0, 2.0),
    pushes: tuple[float, float] = (-1.0, 1.0),
    readings: int = 32,
) -> Run:
    """A fork whose wrong and right labels are lost after so many steps and held again `back` steps after
    that; leads: those of both classes; pushes: the share of each that others push up, less the rest.
    """
    spec = of.arm("standard").seeded(seed)
    data, rng = spec.data(), np.random.default_rng(seed)
    n = len(data.labels)
    since = EVERY * np.arange(readings)
    gone = np.where(data.is_noisy, shallow, general) + rng.uniform(-15, 15, n) + 4 * rng.normal()
    held = (since[:, None] < gone) | (since[:, None] > gone + back)
    held[0] = True
    lead = np.where(data.is_noisy, *leads) * rng.uniform(0.8, 1.2, n)
    margin = np.where(held & data.is_train, lead, -1.0)
    steps = {"step": AT + since}
    of_push = np.where(data.is_noisy, *pushes)
    signs = np.where(rng.random(n) < (1 + of_push) / 2, 1.0, -1.0) / 4
    entries = np.broadcast_to(signs[:, None], (readings, 1, 2, n, 4)).copy()
    entries[:, :, 1] = 5.0  # what decay does is not asked
    arrays = {
        "prediction_margin": xr.DataArray(margin, steps, ["step", "example"]),
        "ledger_neuron_entries": xr.DataArray(
            entries,
            {**steps, "part": ["data", "decay"]},
            ["step", "layer", "part", "example", "neuron"],
        ),
    }
    run = MadeUpRun(spec, {}, **arrays)
    assert spec.fork is not None
    run.__dict__.update(trunks=((spec.fork.of, AT),))
    return run


def six(of: Forgetting, shallow: Lost, general: float = NEVER, **how) -> dict[str, list[Run]]:
    lost = shallow if callable(shallow) else lambda _: shallow
    return {of.name: [fork(of, seed, lost(seed), general, **how) for seed in range(6)]}


RULINGS = [
    (100.0, NEVER, "supported"),
    (NEVER, 100.0, "contradicted"),
    (150.0, 150.0, "no effect"),
    (lambda seed: (50.0, NEVER)[seed % 2], NEVER, "inconclusive"),
]


@pytest.mark.parametrize(("shallow", "general", "said"), RULINGS)
def test_what_is_kept_of_withheld_labels(shallow: Lost, general: float, said: str) -> None:
    for of, endpoint in (
        (MAIN, "retention"),
        (withheld(WIDE), "retention-leaky"),
        (withheld(CLOSED, is_decayed=True), "retention-decayed"),
        (SHUFFLED, "retention-shuffled"),
    ):
        assert ruling_of(STUDY, endpoint, six(of, shallow, general), "standard") == said


def test_the_gap_is_the_share_of_the_time_away_that_only_the_general_ones_are_kept() -> None:
    found = verdict_of(STUDY, "retention", six(MAIN, 100.0), "standard")
    assert found.estimate.effect == pytest.approx(1 - 100 / AWAY, abs=0.04)
    assert found.is_primary


def test_predictions_that_differ_only_in_their_lead_are_not_compared() -> None:
    unequal = six(MAIN, 100.0, leads=(1.0, 9.0))
    assert verdict_of(STUDY, "retention", unequal, "standard").missing == {FEW_MATCHED: 6}


@pytest.mark.parametrize(
    ("back", "said"), [(NEVER, "supported"), (AWAY - 100.0, "no effect"), (AWAY + 30.0, "supported")]
)
def test_recovery_is_of_the_time_after_their_return(back: float, said: str) -> None:
    runs = six(MAIN, 100.0, back=back)
    assert ruling_of(STUDY, "recovery", runs, "standard") == said
    assert ruling_of(STUDY, "retention", runs, "standard") == "supported"


@pytest.mark.parametrize(
    ("pushes", "said"),
    [
        ((-1.0, 1.0), ("supported", "contradicted")),
        ((1.0, -1.0), ("contradicted", "supported")),
        ((-0.1, 0.0), ("inconclusive", "no effect")),
    ],
)
def test_cross_terms_are_counted_by_their_sign(
    pushes: tuple[float, float], said: tuple[str, str]
) -> None:
    runs = six(MAIN, 100.0, pushes=pushes)
    found = tuple(
        ruling_of(STUDY, name, runs, "standard") for name in ("cross-terms", "cross-terms-general")
    )
    assert found == said


@pytest.mark.parametrize(("shallow", "general", "said"), RULINGS)
def test_leaks_and_orders_are_set_beside_their_control(shallow: Lost, general: float, said: str) -> None:
    for of, control, endpoint in (
        (withheld(WIDE), MAIN, "leak"),
        (MIXED, FULL, "batches"),
        (BLOCKED, MIXED, "blocked"),
    ):
        runs = six(of, shallow, general) | six(control, NEVER)
        assert ruling_of(STUDY, endpoint, runs, "standard") == said


def test_forks_that_came_too_late_or_hold_no_wrong_label_are_counted() -> None:
    runs = six(MAIN, 100.0)
    forks = runs[MAIN.name]
    forks[0] = fork(MAIN, 0, 100.0, NEVER, readings=10)
    forks[1] = MadeUpRun(MAIN.arm("standard").seeded(1), {})
    forks[2].__dict__.update(status="failed")
    margin = forks[3]["prediction_margin"].copy()
    margin[0, forks[3].spec.data().is_noisy] = -1.0
    forks[3].readings["prediction_margin"] = margin  # type: ignore[attr-defined]
    found = verdict_of(STUDY, "retention", runs, "standard")
    assert found.missing == {TOO_LATE: 2, NO_CLASS: 1, "diverged": 1}


def test_only_those_withheld_are_looked_at_and_all_where_none_is() -> None:
    some, every = kept(fork(MAIN, 0, NEVER, NEVER)), kept(fork(NO_OP, 0, NEVER, NEVER))
    n_some, n_every = (
        int(found.shallow.sum() + found.general.sum())  # type: ignore[union-attr]
        for found in (some, every)
    )
    data = MAIN.arm("standard").seeded(0).data()
    assert n_every == data.n_train
    assert n_some == pytest.approx((1 - KEEP) * data.n_train, abs=0.5)
    assert not (some.shallow & some.general).any()  # type: ignore[union-attr]


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_arms_withhold_and_restore_and_each_has_its_control(budget) -> None:
    STUDY.check(budget)
    assert [each.name for each in STUDY.endpoints(budget) if each.is_primary] == ["retention"]
    by_name = {arm.name: arm for arm in STUDY.arms(budget)}
    spec = by_name[MAIN.name].spec
    away, back = (i for i in spec.interventions if i.action.name == "set_data")
    assert away.action.keep == KEEP  # type: ignore[union-attr]
    assert back.action.keep == 1  # type: ignore[union-attr]
    assert back.trigger.steps == AWAY  # type: ignore[union-attr]
    assert [i.action.name for i in by_name[NO_OP.name].spec.interventions] == ["no_op"]
    leaky = by_name[withheld(WIDE).name].spec
    assert leaky.model.leak == WIDE  # type: ignore[union-attr]
    assert leaky.replace(model=spec.model, fork=spec.fork) == spec


def test_only_relu_leaks() -> None:
    spec = MAIN.trunk("quick").spec
    with pytest.raises(SpecError, match=r"leak = 0.3 is the slope of relu below 0.*use act_fn"):
        spec.replace(model={**dict(spec.model), "act_fn": "square", "leak": 0.3})


def test_the_figure_has_both_classes_of_every_arm_by_steps_since_the_fork() -> None:
    every = {
        each.name: [fork(each, seed, 100.0, NEVER) for seed in (0, 1)] for each in forgettings("quick")
    }
    (figure,) = STUDY.answer(table_of(STUDY, every)).figures
    assert set(figure.table["panel"]) == {each.name for each in forgettings("quick")}
    last = figure.table[figure.table["step"] == AWAY + BACK]
    ends = dict(zip(list(last["line"]), list(last["mean"]), strict=False))
    assert ends == {"wrong labels": 0.0, "right labels": 1.0}
    assert STUDY.answer(table_of(STUDY, {})).figures == ()
