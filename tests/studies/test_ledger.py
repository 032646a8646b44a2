"""The study of who carries the margin on runs whose answers are known; every ruling can come out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import made_up
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.analysis.general_part import key_irreps, parts
from undergrowth.store import Run
from undergrowth.studies.ledger import (
    COMPONENTS,
    PREDICTORS,
    SQUARES,
    STUDY,
    parted,
    partial_rank_correlation,
)
from undergrowth.studies.small_arms import CHEAP, control_of

AT = np.arange(0, 1_601, 20)
P, N_IRREPS, N_NEURONS = 31, 15, 64
KEYS = (3, 7, 11)
WAVES = np.array([np.cos(2 * np.pi * k * np.arange(P) / P) for k in range(1, N_IRREPS + 1)])
SPECS = {arm.name: arm.spec for arm in STUDY.arms("quick")}
SHUFFLED = control_of(CHEAP)
Shares = Callable[[int], np.ndarray]


def between(start: float, end: float, low: float = 0.0, high: float = 0.9) -> np.ndarray:
    """A share that rises on a straight line from one step to another, [step]."""
    return low + (high - low) * np.clip((AT - start) / (end - start), 0, 1)


def run(
    seed: int,
    arm: str,
    share: np.ndarray,
    *,
    amplitudes: np.ndarray | None = None,
    margin: float = 10.0,
    logits: np.ndarray | None = None,
    early: dict[str, xr.DataArray] | None = None,
) -> Run:
    """A run whose training examples have these general shares, [step] or [step, example].

    Its general logits are sum_k a_k cos w_k (x + y - c), the same at every step, of centred logit
    31/30 sum_k a_k where the label is x + y: what its table has of each example is that by its share, or
    `margin` where the share is 0. logits: others, [product, label].
    """
    spec = SPECS[arm].seeded(seed)
    data = spec.data()
    of = np.isin(np.arange(1, N_IRREPS + 1), KEYS).astype(float) if amplitudes is None else amplitudes
    circulant = np.stack([np.roll(of @ WAVES, s) for s in range(P)])  # [product, label]
    scale = margin * 30 / (31 * of.sum())
    share = np.broadcast_to(share.T, (int(data.is_train.sum()), len(AT)))  # [example, step]
    is_there = share.max() > 0
    of_product = circulant * scale * is_there if logits is None else logits
    whole = np.full((len(AT), P, P), margin)
    x, y = data.inputs[data.is_train].T
    whole[:, x, y] = np.where(share > 0, margin / np.maximum(share, 1e-3), 1e3 * margin).T
    if not is_there:
        whole[:] = margin
    power = np.broadcast_to(of**2, (len(AT), N_IRREPS))
    named = {"step": AT, "frequency": np.arange(1, N_IRREPS + 1)}
    readings = {
        "fourier_mean_logits": xr.DataArray(
            np.broadcast_to(of_product, (len(AT), P, P)), {"step": AT}, ("step", "product", "label")
        ),
        "fourier_logit_power": xr.DataArray(power, named, ("step", "frequency")),
        "table_centred_logit": xr.DataArray(whole, {"step": AT}, ("step", "x", "y")),
        **(early or {}),
    }
    return made_up(seed, spec.labels, base=SPECS[arm], **readings)  # pyright: ignore[reportArgumentType]


def runs(share: Callable[[int], np.ndarray], arm: str = CHEAP) -> dict[str, list[Run]]:
    """Six seeds, and their controls with as large centred logits of which nothing is general."""
    mine = [run(seed, arm, share(seed)) for seed in range(6)]
    nothing = np.zeros(len(AT))
    its = [run(s, control_of(arm), nothing, margin=_midway(mine[s])) for s in range(6)]
    return {arm: mine, control_of(arm): its}


def _midway(run: Run) -> float:
    """The mean centred logit at step 200, when validation accuracy is a half."""
    return float(parted(run).mean.sel(step=200))


def half_way(seed: int) -> np.ndarray:
    """Half general at step 200, 0.9 at the end."""
    return between(0, 400, high=0.88 + seed / 300)


PURE = {
    "memorised until late": lambda seed: between(500, 1_000, low=0.02, high=0.9 + seed / 1_000),
    "general at once": lambda seed: between(0, 20, low=0.1, high=0.9 + seed / 1_000),
}


@pytest.mark.parametrize("arm", [CHEAP, SQUARES])
def test_both_parts_midway_support_the_coexistence_of_both(arm: str) -> None:
    name = "coexist" if arm == CHEAP else f"coexist, {SQUARES}"
    found = verdict_of(STUDY, name, runs(half_way, arm))
    assert found.rule.ruling(found.estimate) == "supported"
    assert 0.2 < found.estimate.effect < 0.45


@pytest.mark.parametrize("name", PURE)
def test_one_part_alone_midway_contradicts_it(name: str) -> None:
    assert ruling_of(STUDY, "coexist", runs(PURE[name])) == "contradicted"


def test_either_of_them_by_the_seed_is_inconclusive() -> None:
    mixed = runs(lambda seed: half_way(seed) if seed % 2 else PURE["general at once"](seed))
    assert ruling_of(STUDY, "coexist", mixed) == "inconclusive"


def memorising(seed: int, share: float, margin: float) -> Run:
    """A control whose look-ups of shuffled labels have so large a general part by chance."""
    spec = SPECS[SHUFFLED].seeded(seed)
    data = spec.data()
    x, y = data.inputs[data.is_train].T
    looked_up = np.zeros((P, P))  # what the labels of each sum come to
    np.add.at(looked_up, ((x + y) % P, data.labels[data.is_train]), 1.0)
    once = run(seed, SHUFFLED, np.zeros(len(AT)), margin=margin, logits=looked_up)
    by_chance = parts(once, key_irreps(once, len(KEYS))).general[-1].mean() / margin
    assert by_chance > 0
    scaled = looked_up * share / by_chance
    return run(seed, SHUFFLED, np.zeros(len(AT)), margin=margin, logits=scaled)


def test_what_a_memorising_network_has_by_chance_does_not_count() -> None:
    made = runs(half_way)
    lucky = [memorising(s, 0.35, _midway(made[CHEAP][s])) for s in range(6)]
    found = verdict_of(STUDY, "coexist", {**made, SHUFFLED: lucky})
    shares = [parted(each).share for each in made[CHEAP]]
    least = [np.minimum(s.sel(step=slice(160, 300)) - 0.35, float(s[-1]) - s) for s in shares]
    assert found.estimate.effect < verdict_of(STUDY, "coexist", made).estimate.effect - 0.1
    assert found.estimate.effect == pytest.approx(float(np.mean(least)), abs=0.1)


def test_a_control_of_other_centred_logits_is_no_match() -> None:
    made = runs(half_way)
    other = [run(s, SHUFFLED, np.zeros(len(AT)), margin=500.0) for s in range(6)]
    found = verdict_of(STUDY, "coexist", {**made, SHUFFLED: other})
    assert found.estimate.n == 0
    assert found.missing == {"no step of its control has such a centred logit": 6}


def test_a_gradual_rise_is_wider_than_that_of_accuracy() -> None:
    slow = {CHEAP: runs(lambda s: between(100, 1_500 + s))[CHEAP]}
    fast = {CHEAP: runs(lambda s: between(180, 200 + s))[CHEAP]}
    assert ruling_of(STUDY, f"gradual, {CHEAP}", slow) == "supported"
    assert ruling_of(STUDY, f"gradual, {CHEAP}", fast) == "contradicted"


def switches(seed: int, spread: float, width: float) -> np.ndarray:
    """Shares [step, example] that rise over so many steps, at times that are spread so far."""
    rng = np.random.default_rng(seed)
    n = int(SPECS[CHEAP].seeded(seed).data().is_train.sum())
    starts = 300 + rng.uniform(0, spread, n)
    return np.stack([between(start, start + width, low=0.05) for start in starts], axis=1)


QUICK = {
    s: {CHEAP: [run(i, CHEAP, switches(i, *s)) for i in range(6)]} for s in ((1_000, 50), (50, 800))
}


def test_quick_switches_one_after_the_other_support_it_and_slow_ones_together_contradict_it() -> None:
    quick, together = QUICK.values()
    found = verdict_of(STUDY, "quick", quick)
    assert found.rule.ruling(found.estimate) == "supported"
    assert found.estimate.effect == pytest.approx(np.log10(800 / 40), abs=0.1)
    assert ruling_of(STUDY, "quick", together) == "contradicted"
    some = {CHEAP: [*quick[CHEAP][:3], *together[CHEAP][3:]]}
    assert ruling_of(STUDY, "quick", some) == "inconclusive"


def test_a_network_that_does_not_switch_is_missing_for_that_reason() -> None:
    found = verdict_of(STUDY, "quick", {CHEAP: [run(0, CHEAP, between(0, 1, low=0.5, high=0.5))]})
    assert found.missing == {"the general share of fewer than 20 examples rises": 1}


@cache
def unrelated(n: int, seed: int) -> np.ndarray:
    """Ranks [4, n] that have nothing to do with 0 .. n - 1 nor with one another."""
    rng = np.random.default_rng(seed)
    drawn = (np.stack([rng.permutation(n) for _ in range(4)]).astype(float) for _ in range(2_000))

    def related(ranks: np.ndarray) -> float:
        return np.abs(np.asarray(np.corrcoef(np.vstack([np.arange(n), ranks])))[0, 1:]).max()

    return min(drawn, key=related)


def predicted(seed: int, arm: str, kind: str, of: dict[str, float]) -> Run:
    """A run where each predictor of a kind goes with the last share (1), against it (-1) or neither."""
    component, n = COMPONENTS[kind], N_IRREPS if kind == "frequencies" else N_NEURONS
    order = np.random.default_rng(100 + seed).permutation(n)
    early = {}
    for place, (name, (ending, sign)) in enumerate(PREDICTORS.items()):
        noise = unrelated(n, seed)[place]
        ranks = of.get(name, 0) * np.arange(n) + (0.3 if of.get(name) else 1) * noise
        values = np.broadcast_to((sign * ranks)[np.argsort(order)], (3, n))
        dims = ("step", component)
        reading = xr.DataArray(values, {"step": [0, 100, 2_000]}, dims)
        if component == "irrep":
            reading = reading.assign_coords(irrep=[str(k) for k in range(1, n + 1)])
        else:
            reading = reading.expand_dims(layer=1, axis=1)
        early[f"reach_{component}{ending}"] = reading
    last = (1.0 + np.arange(n))[np.argsort(order)]
    if component == "neuron":
        both = np.broadcast_to(last, (1, 2, n))
        named = {"step": [1_600], "side": ["train", "val"]}
        early["shapley_mean"] = xr.DataArray(both, named, ("step", "side", "neuron"))
    return run(seed, arm, half_way(seed), amplitudes=last if n == N_IRREPS else None, early=early)


@pytest.mark.parametrize("kind", COMPONENTS)
@pytest.mark.parametrize("name", PREDICTORS)
def test_a_predictor_is_told_from_the_others(name: str, kind: str) -> None:
    made = partial(predicted, arm=CHEAP, kind=kind)
    endpoint = f"{name.replace(' ', '-')}, {kind}, {CHEAP}"
    goes_with, against, mixed = (
        {CHEAP: [made(s, of={name: sign(s)}) for s in range(6)]}
        for sign in (lambda s: 1, lambda s: -1, lambda s: 1 - 2 * (s % 2))
    )
    assert ruling_of(STUDY, endpoint, goes_with) == "supported"
    assert ruling_of(STUDY, endpoint, against) == "contradicted"
    assert ruling_of(STUDY, endpoint, mixed) == "inconclusive"
    other = next(each for each in PREDICTORS if each != name)
    beside = f"{other.replace(' ', '-')}, {kind}, {CHEAP}"
    found = verdict_of(STUDY, beside, goes_with).estimate
    assert abs(found.effect) < 0.5 < verdict_of(STUDY, endpoint, goes_with).estimate.effect


def test_what_goes_with_nothing_has_no_effect() -> None:
    none = {CHEAP: [predicted(s, CHEAP, "neurons", {}) for s in range(16)]}
    for name in PREDICTORS:
        endpoint = f"{name.replace(' ', '-')}, neurons, {CHEAP}"
        found = verdict_of(STUDY, endpoint, none)
        assert abs(found.estimate.effect) < 0.1
        assert found.rule.ruling(found.estimate) == "no effect"


def test_a_partial_rank_correlation_is_that_of_what_the_others_leave() -> None:
    """Against the inverse of the matrix of rank correlations."""
    rng = np.random.default_rng(0)
    target, predictors = rng.standard_normal(40), rng.standard_normal((3, 40))
    predictors[1] += target + predictors[0]
    ranks = np.argsort(np.argsort(np.concatenate([target[None], predictors]), axis=1), axis=1)
    precision = np.linalg.inv(np.corrcoef(ranks))
    for k in range(3):
        expected = -precision[0, k + 1] / np.sqrt(precision[0, 0] * precision[k + 1, k + 1])
        assert partial_rank_correlation(target, predictors, k) == pytest.approx(expected)
    assert np.isnan(partial_rank_correlation(target, np.stack([target, predictors[0], target]), 0))


def test_runs_without_the_readings_are_missing_for_that_reason() -> None:
    bare = {arm: [made_up(0, base=SPECS[CHEAP])] for arm in (CHEAP, SHUFFLED)}
    reason = {"coexist": "has no fourier_logit_power", "quick": "has no fourier_logit_power"}
    reason[f"reach, neurons, {CHEAP}"] = "has no reach_neuron"
    for endpoint, why in reason.items():
        assert verdict_of(STUDY, endpoint, bare).missing == {why: 1}


def test_the_claims_have_one_primary_each_and_wait_for_16_seeds() -> None:
    made = runs(half_way)
    answer = STUDY.answer(table_of(STUDY, made))
    primary = {v.claim: v for v in answer.verdicts if v.is_primary}
    assert set(primary) == {"P10", "P11"}
    assert {v.ruling for v in primary.values()} == {"open"}
    assert {v.waits_for for v in primary.values()} == {"16 seeds with a value: there are 6"}
    figures = {figure.name for figure in answer.figures}
    assert figures == {"general_part", "predictors_of_the_last_share"}


def test_key_frequencies_are_those_that_were_planted() -> None:
    assert key_irreps(run(0, CHEAP, half_way(0))) == tuple(map(str, KEYS))
    assert parted(run(0, CHEAP, half_way(0))).answers.all()
