"""The titration study on runs whose answers are known; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.store import Run
from undergrowth.studies import titration
from undergrowth.studies.titration import ADAM, DOSES, HIGHEST, STUDY, Dose, bases, doses

STEPS = np.array([0, 100, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3000])
OWN = Dose(ADAM, has_decay=False)
ROUTED, RANDOM = OWN.at(0.5), OWN.at(0.5, "random")
HIGH, HIGH_RANDOM, FEW = (OWN.at(HIGHEST, side) for side in ("routed", "random", "low_rank"))
AT = f"dose 0.5, {ADAM}, no decay"
Each = float | Callable[[int], float]


def run(
    dose: Dose,
    seed: int,
    *,
    grokked: float,
    reach: float = 1.0,
    height: float = 0.5,
    cosine: float = 1.0,
) -> Run:
    """A run that has memorised at step 200 and groks at a step, beyond 3,000 never."""
    val = np.where(grokked <= STEPS, 1.0, height)
    curves = {
        "train_accuracy": np.where(STEPS >= 200, 1.0, 0.1),
        "val_accuracy": val,
        "train_loss": np.linspace(4, 0.01, len(STEPS)),
        "val_loss": 4 * (1.01 - val),
    }
    readings = {
        f"routed_reach_{name}": xr.DataArray(np.full(len(STEPS), value), {"step": STEPS}, ["step"])
        for name, value in (("whole", reach), ("unrouted", 1.0), ("cosine", cosine))
    }
    spec = dose.arm.spec.seeded(seed)
    of_steps = {name: [*values] for name, values in curves.items()}
    return MadeUpRun(spec, of_steps, [*map(int, STEPS)], **readings)


def six(dose: Dose, grokked: Each, **more: Each) -> Sequence[Run]:
    def of(value: Each, seed: int) -> float:
        return value(seed) if callable(value) else value

    return [
        run(dose, s, grokked=of(grokked, s), **{k: of(v, s) for k, v in more.items()}) for s in range(6)
    ]


def about(step: float) -> Callable[[int], float]:
    """Near a step, differing from seed to seed, at an evaluation."""
    place = int(np.searchsorted(STEPS, step))
    return lambda seed: float(STEPS[place + (seed == 5)])


def ruling(endpoint: str, **runs: Sequence[Run]) -> str:
    by_name = {"routed": ROUTED, "random": RANDOM, "own": OWN}
    by_name |= {"high": HIGH, "high_random": HIGH_RANDOM, "few": FEW}
    return ruling_of(STUDY, endpoint, {by_name[k].name: its for k, its in runs.items()}, "quick")


@pytest.mark.parametrize(
    ("routed", "random", "said"),
    [
        (1600, 400, "supported"),
        (400, 1600, "contradicted"),
        (800, 800, "no effect"),
        (9999, 400, "supported"),  # never, so longer than it had
    ],
)
def test_a_wait_beside_that_of_as_much_gradient_lost(routed: int, random: int, said: str) -> None:
    mine = six(ROUTED, 9999.0 if routed == 9999 else about(routed))
    assert ruling(f"waits-longer, {AT}", routed=mine, random=six(RANDOM, about(random))) == said


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [(1600, 400, "supported"), (400, 1600, "contradicted"), (800, 800, "no effect")],
)
def test_routing_and_fewer_directions_are_told_apart(one: int, other: int, said: str) -> None:
    at = f"dose {HIGHEST:g}, {ADAM}, no decay"
    high, few = six(HIGH, about(one)), six(FEW, about(other))
    assert ruling(f"waits-longer-than-in-few-directions, {at}", high=high, few=few) == said
    few, control = six(FEW, about(one)), six(HIGH_RANDOM, about(other))
    assert ruling(f"few-directions-wait-longer, {at}", few=few, high_random=control) == said


def test_waits_that_go_either_way_are_inconclusive() -> None:
    mixed = six(ROUTED, lambda seed: (400.0, 1600.0)[seed % 2])
    assert ruling(f"waits-longer, {AT}", routed=mixed, random=six(RANDOM, 800.0)) == "inconclusive"


def test_the_wait_is_counted_from_memorised_and_censored_at_the_end() -> None:
    assert titration.wait(run(OWN, 0, grokked=800)) == (600, True)
    assert titration.wait(run(OWN, 0, grokked=9999)) == (2800, False)
    low, high = titration.waits_longer(run(ROUTED, 0, grokked=9999), run(RANDOM, 0, grokked=800))  # type: ignore[misc]
    assert low == pytest.approx(np.log10(2800 / 600))
    assert high == np.inf


def test_a_seed_that_never_memorises_is_missing_for_that_reason() -> None:
    mine = list(six(ROUTED, about(1600)))
    mine[0].curves["train_accuracy"][:] = 0.5
    runs = {ROUTED.name: mine, RANDOM.name: six(RANDOM, about(400))}
    found = verdict_of(STUDY, f"waits-longer, {AT}", runs)
    assert found.estimate.n == 5
    assert found.missing == {"never memorised": 1}


@pytest.mark.parametrize(
    ("reach", "said"), [(0.5, "supported"), (2.0, "contradicted"), (1.0, "no effect")]
)
def test_what_the_dose_does_to_reach_is_checked(reach: float, said: str) -> None:
    mine = six(ROUTED, 800.0, reach=lambda seed: reach * (1 + seed / 200))
    assert ruling(f"lower-reach, {AT}", routed=mine) == said


def test_memorising_alike_is_an_equivalence() -> None:
    late = six(ROUTED, 1600.0)
    for each in late:
        each.curves["train_accuracy"][:5] = 0.1
    control = six(RANDOM, 1600.0)
    assert ruling(f"memorises-alike, {AT}", routed=six(ROUTED, 800.0), random=control) == "supported"
    assert ruling(f"memorises-alike, {AT}", routed=late, random=control) == "contradicted"


def family(slope: float, noise: float = 0.0) -> dict[str, Sequence[Run]]:
    """All doses of a base, with a `slope` of validation on a decade of reach, beside the cosine's."""
    rng = np.random.default_rng(3)
    found = {}
    arms = [OWN, *(OWN.at(a, s) for a in DOSES["quick"] for s in ("routed", "random"))]
    for k, dose in enumerate(arms):
        decades, cosine = (0.0, -0.1, 0.2, -0.3, 0.3)[k], (1.0, 0.9, 0.9, 0.6, 0.6)[k]
        height = 0.3 + slope * decades + 0.2 * cosine
        found[dose.name] = [
            run(
                dose,
                s,
                grokked=9999,
                reach=10**decades,
                cosine=cosine,
                height=height + s / 1000 + noise * rng.standard_normal(),
            )
            for s in range(6)
        ]
    return found


@pytest.mark.parametrize(
    ("slope", "noise", "said"),
    [
        (0.4, 0.01, "supported"),
        (-0.4, 0.01, "contradicted"),
        (0.0, 0.002, "no effect"),
        (0.1, 0.3, "inconclusive"),
    ],
)
def test_validation_follows_reach_beyond_what_descent_is_lost(
    slope: float, noise: float, said: str
) -> None:
    found = verdict_of(STUDY, f"follows-reach, {ADAM}, no decay", family(slope, noise))
    assert found.rule.ruling(found.estimate) == said
    if said != "inconclusive":
        assert found.estimate.effect == pytest.approx(slope, abs=0.05)


def test_too_few_doses_give_no_slope() -> None:
    few = {name: runs for name, runs in family(0.4).items() if "dose 0.5" not in name}
    found = verdict_of(STUDY, f"follows-reach, {ADAM}, no decay", few)
    assert found.estimate.n == 0
    assert found.missing == {"fewer than four arms of it have memorised": 6}


@pytest.mark.parametrize(
    ("with_decay", "said"), [(400, "supported"), (2400, "contradicted"), (800, "no effect")]
)
def test_decay_may_shorten_the_wait(with_decay: int, said: str) -> None:
    decayed = Dose(ADAM, has_decay=True, dose=0.5)
    runs = {ROUTED.name: six(ROUTED, about(800)), decayed.name: six(decayed, about(with_decay))}
    assert ruling_of(STUDY, f"decay-shortens, dose 0.5, {ADAM}", runs) == said


def test_hypotheses_are_scored_by_who_writes_what() -> None:
    runs = {
        ROUTED.name: six(ROUTED, about(1600)),
        RANDOM.name: six(RANDOM, about(400)),
    }
    scores = {
        (each.prediction.hypothesis, each.prediction.endpoint): each.score
        for each in STUDY.answer(table_of(STUDY, runs)).scores
    }
    assert scores[titration.FREQUENCY, f"waits-longer, {AT}"] == "right"
    assert scores[titration.EFFICIENCY, f"waits-longer, {AT}"] == "wrong"
    assert scores[titration.EFFICIENCY, f"decay-shortens, dose 0.5, {ADAM}"] == "open"


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_the_study_fits_together(budget) -> None:
    STUDY.check(budget)
    named = {each for e in STUDY.endpoints(budget) for each in (e.arm, e.control) if each}
    arms = {arm.name for arm in STUDY.arms(budget)}
    assert named <= arms
    assert arms - named <= {d.name for d in doses(budget) if d.labels == "shuffled"}
    assert len(bases(budget)) == (2 if budget == "quick" else 6)


def test_figures_are_drawn_of_what_is_there() -> None:
    names = [figure.name for figure in STUDY.figures(table_of(STUDY, family(0.4)))]
    assert names == ["titration-waits", "titration-val_accuracy", "titration-routed_reach_whole"]
    assert not list(STUDY.figures(table_of(STUDY, {})))
