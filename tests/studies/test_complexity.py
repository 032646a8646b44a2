"""The complexity study on runs whose law is known; every verdict can come out either way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import xarray as xr
from undergrowth.studies.complexity import (
    EXAMPLES,
    GROUPS,
    MEASURES,
    OPERATIONS,
    PRIMES,
    STUDY,
    families,
    family_of,
    runs,
    timed,
)

from tests.studies.made_up import made_up
from undergrowth.analysis import Verdict
from undergrowth.report.axes import traces_of
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies import complexity
from undergrowth.tasks import Operation

STEPS = np.arange(0, 3001, 10)
Law = Callable[[float], float]


def run(spec: RunSpec, seed: int, grokked: float, memorised: int | None = 50) -> Run:
    """A run of 3,000 steps that groks at the next evaluation from a step on, if it is one of them."""
    found = made_up(seed, spec.labels, base=spec)
    train = np.where((np.inf if memorised is None else memorised) <= STEPS, 1.0, 0.1)
    curves = {"train_accuracy": train, "val_accuracy": np.where(grokked <= STEPS, 1.0, 0.02)}
    found.__dict__["curves"] = xr.Dataset(
        {name: ("step", values) for name, values in curves.items()}, {"step": STEPS}
    )
    return found


def complexity_of(measure: complexity.Measure, spec: RunSpec) -> float:
    assert isinstance(spec.task, Operation)
    return measure.of(spec.task)


def rising(measure: complexity.Measure, law: Law, seeds: int = 5, *, sigma: float = 0.12) -> list[Run]:
    """Runs of the standard tasks of a family whose times follow a law of one measure."""
    rng = np.random.default_rng(0)
    return [
        run(task, seed, law(complexity_of(measure, task)) * float(np.exp(sigma * rng.normal())))
        for task in families("standard")[measure.family]
        for seed in range(seeds)
    ]


def control(end: float = 0.02) -> list[Run]:
    shuffled = [spec for spec in runs("standard", 4) if spec.labels == "shuffled"]
    found = [run(spec, spec.seeds.model, np.inf) for spec in shuffled]
    for each in found:
        each.curves["val_accuracy"][:] = end
    return found


def ruled(found: Sequence[Run]) -> tuple[Verdict, ...]:
    its = [each for one in found if (each := timed(one))]
    return complexity._verdicts(found, its, complexity._climbs(its, "grokked step", 199))


def verdicts(found: Sequence[Run]) -> dict[str, tuple[Verdict, Verdict]]:
    """By measure: which law, and whether it grows."""
    given = ruled(found)
    return {m.name: (given[2 * i], given[2 * i + 1]) for i, m in enumerate(MEASURES)}


BY_NAME = {measure.name: measure for measure in MEASURES}
LAWS: dict[str, Law] = {
    "exponential": lambda c: 60 * np.exp(0.07 * c),
    "power law": lambda c: 0.5 * c**2,
    "falling": lambda c: 6000 / c,
}
PRIMES_BY = {name: rising(BY_NAME["p"], law) for name, law in LAWS.items()}


def test_a_time_that_grows_exponentially_supports_the_claim() -> None:
    law, grows = verdicts([*PRIMES_BY["exponential"], *control()])["p"]
    assert (law.verdict, grows.verdict) == ("supported", "supported")
    assert "35 runs, 0 censored, of 7 tasks; complexity takes 7 values from 11 to 47" in law.note
    assert "AIC: constant" in law.note
    assert "Control at p = 11: 2 seeds with shuffled labels end at 0.02 (chance 0.0909)." in law.note


def test_a_time_that_grows_as_a_power_contradicts_it_and_grows() -> None:
    law, grows = verdicts(PRIMES_BY["power law"])["p"]
    assert (law.verdict, grows.verdict) == ("contradicted", "supported")
    assert grows.estimate.effect == pytest.approx(2, abs=0.15)
    assert "No control runs." in law.note


def test_a_time_that_falls_contradicts_both() -> None:
    law, grows = verdicts(PRIMES_BY["falling"])["p"]
    assert (law.verdict, grows.verdict) == ("contradicted", "contradicted")
    assert grows.estimate.effect == pytest.approx(-1, abs=0.1)


def test_a_time_that_has_nothing_to_do_with_it_is_inconclusive() -> None:
    law, grows = verdicts(rising(BY_NAME["p"], lambda c: 400.0, sigma=0.8))["p"]
    assert (law.verdict, grows.verdict) == ("inconclusive", "inconclusive")


@pytest.mark.parametrize("name", ["symbols", "bytes", "irreps", "group_bytes"])
def test_every_other_measure_can_come_out_each_way(name: str) -> None:
    measure = BY_NAME[name]
    least, most = (
        f(complexity_of(measure, t) for t in families("standard")[measure.family]) for f in (min, max)
    )
    laws: dict[str, Law] = {
        "exponential": lambda c: 40 * 60 ** ((c - least) / (most - least)),
        "power law": lambda c: 40 * 60 ** (np.log(c / least) / np.log(most / least)),
        "falling": lambda c: 2400 * 60 ** (-(c - least) / (most - least)),
    }
    found = {law: verdicts(rising(measure, laws[law], sigma=0.05))[name] for law in laws}
    assert [v.verdict for v in found["exponential"]] == ["supported", "supported"]
    assert [v.verdict for v in found["power law"]] == ["contradicted", "supported"]
    assert [v.verdict for v in found["falling"]] == ["contradicted", "contradicted"]


@pytest.mark.parametrize("name", ["p_examples", "degree"])
def test_narrow_ladders_grow_or_fall_and_say_how_narrow_they_are(name: str) -> None:
    measure = BY_NAME[name]
    law, grows = verdicts(rising(measure, lambda c: 20 * c**1.1))[name]
    assert grows.verdict == "supported"
    assert ("below the 3 that parts the laws" in law.note) == (name == "p_examples")
    assert verdicts(rising(measure, lambda c: 9000 / c))[name][1].verdict == "contradicted"


def test_censored_runs_count_as_later() -> None:
    found = rising(BY_NAME["p"], lambda c: 150 * np.exp(0.09 * c))
    law, grows = verdicts(found)["p"]
    censored = sum(float(each.curves["val_accuracy"].max()) < 1 for each in found)
    assert 5 < censored < 25
    assert f"{censored} censored" in law.note
    assert (law.verdict, grows.verdict) == ("supported", "supported")


def test_all_censored_says_so_and_rules_nothing() -> None:
    law, grows = verdicts(rising(BY_NAME["p"], lambda c: 1e6))["p"]
    assert (law.verdict, grows.verdict) == ("inconclusive", "inconclusive")
    assert "No fit: every run is censored." in law.note


def test_one_seed_has_no_interval() -> None:
    law, grows = verdicts(rising(BY_NAME["p"], LAWS["exponential"], seeds=1))["p"]
    assert (law.verdict, grows.verdict) == ("inconclusive", "inconclusive")
    assert "every task needs 2 seeds or more" in law.note
    assert not law.is_claim


def test_a_missing_family_and_two_complexities_are_said() -> None:
    two = [each for each in PRIMES_BY["exponential"] if each.spec.task.n_labels in (11, 47)]
    found = verdicts(two)
    assert found["irreps"][0].note == "No runs."
    assert found["irreps"][0].verdict == "inconclusive"
    law, grows = found["p"]
    assert (law.verdict, grows.verdict) == ("inconclusive", "supported")
    assert "Two laws differ from 3 values on; there are 2." in law.note


def test_no_runs_at_all_is_no_traceback() -> None:
    answer = STUDY.answer([])
    assert {verdict.verdict for verdict in answer.verdicts} == {"inconclusive"}
    assert answer.figures == ()


def test_runs_that_failed_or_never_memorised_are_said() -> None:
    found = rising(BY_NAME["p"], LAWS["exponential"])
    found[0].__dict__["status"] = "failed"
    never = run(families("standard")[PRIMES][0], 9, np.inf, memorised=None)
    _, grows = verdicts([*found, never])["p"]
    assert "1 run failed and left out." in grows.note
    assert "1 never memorised." in grows.note
    failed = [run(each.spec, 0, 100.0) for each in found]
    for each in failed:
        each.__dict__["status"] = "failed"
    assert verdicts(failed)["p"][0].verdict == "inconclusive"


def test_a_wait_is_from_memorised_to_grokked_and_never_nothing() -> None:
    spec = families("standard")[PRIMES][0]
    made = [(400.0, 50), (50.0, 50), (np.inf, 50), (400.0, None)]
    waits = [found.wait for at, m in made if (found := timed(run(spec, 0, at, memorised=m)))]
    assert waits == [(350.0, True), (10.0, True), (2950.0, False), None]


def test_the_order_of_the_runs_does_not_matter() -> None:
    found = [*PRIMES_BY["power law"], *control()]
    assert str(ruled(found)) == str(ruled(found[::-1]))


def test_whether_tasks_differ_by_chance_is_told() -> None:
    _, grows = verdicts(PRIMES_BY["power law"])["p"]
    assert "Complexities dealt to the tasks at random are as steep in 0." in grows.note


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_every_run_is_of_the_family_that_it_was_made_for(budget: complexity.Budget) -> None:
    for family, its in families(budget).items():
        for task in its:
            assert family_of(made_up(0, base=task)) == family
            assert task.task.n_labels >= 2
    groups = [task.task.n_labels for task in families(budget)[GROUPS]]
    assert len(set(groups)) == 1


def test_the_arm_of_examples_has_as_many_everywhere_and_the_other_the_same_share() -> None:
    counts = {int(task.data().is_train.sum()) for task in families("standard")[EXAMPLES]}
    assert max(counts) - min(counts) <= 1
    assert len({task.split.frac_train for task in families("standard")[PRIMES]}) == 1
    assert len({task.task.n_labels for task in families("standard")[OPERATIONS]}) == 1


def test_a_ladder_has_a_figure_with_every_run_and_both_laws() -> None:
    figures = {figure.name: figure for figure in STUDY.answer(PRIMES_BY["exponential"]).figures}
    assert set(figures) == {"growth_p", "criteria"}
    figure = figures["growth_p"]
    table = figure.table
    assert len(table) == 35
    assert np.allclose(table["exponential"], 60 * np.exp(0.07 * table["complexity"]), rtol=0.2)
    assert "35 runs, 0 censored" in figure.caption
    names = [trace.name for trace in traces_of(figure.plot)]
    assert {"power law", "exponential", "one run"} <= set(names)
    assert "one run, censored" not in names


def test_the_figure_of_criteria_has_its_best_model_at_zero() -> None:
    table = STUDY.answer(PRIMES_BY["power law"]).figures[-1].table
    assert set(table["time"]) == set(complexity.TIMES)
    best = table[table["over best"] == 0]
    assert set(best["model"]) == {"power law"}
    assert not (table["over best"].to_numpy() < 0).any()
