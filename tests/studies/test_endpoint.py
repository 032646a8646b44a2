"""From runs to a verdict: pairs, controls, what is missing, and what that could have changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.studies.made_up import made_up
from undergrowth.analysis import Above, Exceeds
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies import Arm, Endpoint, Missing, Statistic, Table
from undergrowth.studies.arm import SEEDS, planned
from undergrowth.studies.best_of import best_held_out
from undergrowth.studies.endpoint import values_of
from undergrowth.training.interventions import AtStep

ARMS = {name: Arm(name, RunSpec()) for name in ("treated", "control", "other")}


def table(**seeds: int) -> Table:
    runs = {arm: {seed: made_up(seed) for seed in range(n)} for arm, n in seeds.items()}
    return Table("study", "quick", ARMS, runs)


def seed_of(*runs: Run) -> float:
    return float(sum(run.spec.seeds.model for run in runs))


SEED = Statistic("seed", "its number", seed_of)


def endpoint(statistic: Statistic = SEED, **fields) -> Endpoint:
    return Endpoint("e", "A", statistic, "treated", fields.pop("rule", Exceeds()), **fields)


def test_a_statistic_of_one_run_is_a_mean_over_seeds() -> None:
    found = endpoint().verdict(table(treated=5))
    assert (found.estimate.effect, found.estimate.n) == (2.0, 5)
    assert found.values == {seed: float(seed) for seed in range(5)}


def test_a_paired_control_is_that_of_the_same_seed_and_a_seed_without_one_is_counted() -> None:
    found = endpoint(control="control").verdict(table(treated=5, control=3))
    assert found.values == {0: 0.0, 1: 2.0, 2: 4.0}
    assert found.missing == {"no run of its control, control": 2}


def test_an_unpaired_control_is_taken_away_as_a_mean() -> None:
    found = endpoint(control="control", paired=False).verdict(table(treated=5, control=3))
    assert found.estimate.effect == 1.0
    assert (found.estimate.n, found.estimate.n_control) == (5, 3)
    [control] = found.by_arm.values()
    assert np.mean([*found.values.values()]) - np.mean([*control.values()]) == found.estimate.effect


def test_a_difference_of_shares_may_go_below_none_but_not_beyond_minus_one() -> None:
    share = Statistic("share", "", lambda run: run.spec.seeds.model % 2 / 10, range=(0.0, 1.0))
    runs = {"treated": {0: made_up(0), 2: made_up(2), 4: made_up(5)}}
    runs["control"] = {seed: made_up(seed) for seed in (1, 3, 6)}
    found = endpoint(share, control="control", paired=False).verdict(Table("s", "quick", ARMS, runs))
    assert found.estimate.low < found.estimate.effect < 0
    assert found.estimate.low >= -1


def test_seeds_without_a_value_are_counted_by_reason_and_bound_the_effect() -> None:
    of = lambda run: Missing("never memorised") if run.spec.seeds.model > 2 else 0.5  # noqa: E731
    found = endpoint(Statistic("share", "", of, range=(0.0, 1.0))).verdict(table(treated=4))
    assert found.missing == {"never memorised": 1}
    assert found.worst_case == pytest.approx((1.5 / 4, 2.5 / 4))


def test_a_controls_seeds_without_a_value_are_its_own_and_bound_the_effect_the_other_way() -> None:
    of = lambda run: Missing("never memorised") if run.spec.seeds.model > 2 else 0.5  # noqa: E731
    statistic = Statistic("share", "", of, range=(0.0, 1.0))
    runs = {"treated": {0: made_up(0), 1: made_up(1)}}
    runs["control"] = {seed: made_up(seed) for seed in (2, 3)}
    found = endpoint(statistic, control="control", paired=False).verdict(Table("s", "quick", ARMS, runs))
    assert found.missing == {"never memorised": 1}
    assert found.worst_case == pytest.approx((0.5 - 0.75, 0.5 - 0.25))


def test_what_is_only_not_trained_bounds_nothing() -> None:
    there = table(treated=3)
    absent = Table("study", "quick", ARMS, there.runs, {"treated": {7: "not trained"}})
    found = endpoint().verdict(absent)
    assert found.missing == {"not trained": 1}
    assert found.worst_case is None


def test_a_run_that_diverged_has_a_value_only_where_the_statistic_takes_it() -> None:
    there = table(treated=3)
    there.runs["treated"][1].__dict__["status"] = "failed"
    assert endpoint().verdict(there).missing == {"diverged": 1}
    assert endpoint(replace(SEED, takes_failed=True)).verdict(there).missing == {}


def test_a_seed_of_which_nothing_is_known_is_counted_and_has_no_value() -> None:
    of = lambda run: (-np.inf, np.inf if run.spec.seeds.model else 0.0)  # noqa: E731
    found = endpoint(Statistic("s", "", of)).verdict(table(treated=3))
    assert (found.estimate.n, [*found.values]) == (1, [0])
    assert found.missing == {"nothing is known: neither ended in time": 2}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((2.0, np.inf), "2 or more"),
        ((-np.inf, 2.0), "2 or less"),
        ((-np.inf, -2.0), "−2 or more"),
        ((2.0, 2.0), "2"),
    ],
)
def test_an_effect_that_is_only_a_bound_says_so(bounds: tuple[float, float], said: str) -> None:
    found = endpoint(Statistic("s", "", lambda run: bounds)).verdict(table(treated=6))
    assert found.says == said


@pytest.mark.parametrize(
    ("value", "method"),
    [
        (lambda seed: seed > 2, "Clopper-Pearson"),
        (lambda seed: (float(seed), seed + 0.5), "censored normal likelihood"),
        (float, "Student's t, corrected for skewness"),
        (lambda seed: 1.0, "exact sign test"),
    ],
)
def test_the_kind_of_the_values_decides_the_interval(value, method: str) -> None:
    of = lambda run: value(run.spec.seeds.model)  # noqa: E731
    found = endpoint(Statistic("s", "", of)).verdict(table(treated=6))
    assert found.estimate.method == method


def test_a_share_cannot_leave_its_range() -> None:
    of = lambda run: 0.99 - 0.3 * (run.spec.seeds.model == 0)  # noqa: E731
    found = endpoint(Statistic("s", "", of, range=(0.0, 1.0)), rule=Above(0.5)).verdict(table(treated=4))
    assert found.estimate.high <= 1


def test_the_best_of_several_arms_is_chosen_on_other_seeds() -> None:
    """Each of two arms is the best by far on one seed alone: judged on the others it is not."""
    numbers = {"treated": [-9.0, 1.0, 1.0, 1.0], "other": [2.0, 2.0, 2.0, -9.0]}

    def by_arm(table: Table, endpoint: Endpoint, missing: Counter[str]):
        return {arm: dict(enumerate(values)) for arm, values in numbers.items()}

    found = endpoint(measured=best_held_out(by_arm)).verdict(table(treated=4))
    assert found.values[0] == -9.0  # 'treated' is better than 'other' on the other three
    assert found.values[3] == 1.0
    assert min(found.values.values()) == -9.0
    assert found.estimate.effect > -9.0


def test_forks_leave_the_trunk_of_their_own_seed() -> None:
    trunk = Arm("trunk", RunSpec())
    arm = Arm("fork", RunSpec().forked(AtStep(step=300)), trunk=trunk)
    for seed in (0, 101):
        fork = arm.seeded(seed).fork
        assert fork is not None
        assert fork.of == trunk.seeded(seed).id


def test_settings_are_looked_at_on_other_seeds_than_those_that_are_reported() -> None:
    assert not set(SEEDS["quick"]) & set(SEEDS["standard"])
    arms = (Arm("a", RunSpec()), Arm("b", RunSpec(), seeds=2))
    counts = Counter(each.part.arm for each in planned("study", "standard", arms))
    assert counts == {"a": 16, "b": 2}
    few = planned("study", "standard", arms, 3)
    assert [each.part.seed for each in few if each.part.arm == "a"] == [100, 101, 102]
    assert len({each.spec.id for each in few}) == 3  # where two arms are alike, one run is both


def test_portions_of_the_seeds_make_the_whole() -> None:
    arms = (Arm("a", RunSpec()), Arm("b", RunSpec(labels="shuffled"), seeds=10))
    portions = (range(100, 108), range(108, 116))
    parts = [each for portion in portions for each in planned("study", "full", arms, portion)]
    assert parts == [*planned("study", "full", arms)]
    assert Counter(each.part.arm for each in parts) == {"a": 16, "b": 10}
    looked_at = Counter(each.part.arm for each in planned("study", "full", arms, range(12)))
    assert looked_at == {"a": 12, "b": 10}


def test_values_of_a_whole_arm_skip_nothing_silently() -> None:
    missing: Counter[str] = Counter()
    found = values_of(table(treated=2), "treated", Statistic("s", "", lambda run: np.nan), missing)
    assert found == {}
    assert missing == {"has no value": 2}


def test_fewer_seeds_than_it_takes_leave_it_open() -> None:
    few, enough = (endpoint(at_least=4).verdict(table(treated=n)) for n in (3, 4))
    assert (few.ruling, few.waits_for) == ("open", "4 seeds with a value: there are 3")
    assert enough.waits_for == ""
    assert enough.ruling != "open"
