"""Reach under routing against brute-force gradients in float64, and where it is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.measures.reinforcement.test_reach import TRAIN, slopes
from tests.measures.worked_examples import NAMES, worked
from undergrowth.measures import Context, Observed, Reach, RoutedReach
from undergrowth.models import MLPSpec, state_dict
from undergrowth.rng import stream
from undergrowth.tasks import LeakyRandom, Modular, MultitaskParity, WholeGroups, make_data
from undergrowth.training.batches import FullBatch
from undergrowth.training.interventions import (
    ByLabel,
    PartsOfGroups,
    RandomWeights,
    Route,
    RouteGradient,
)
from undergrowth.training.state import Moment, Regime

DATA = make_data(Modular(p=tiny.P), tiny.SPLIT, "true", seed=0)
RANDOM = RandomWeights(group_size=2)
LABELS = ByLabel(routes=(Route(labels=(0, 1), components=(0, 2)), Route(labels=(3,), components=(3,))))


def routed(at: Context, dose: float, routes: Any = RANDOM, **fields: Any) -> Context:
    """The context after the action."""
    moment = Moment(at.step, at.state, Regime(DATA, FullBatch()))
    action = RouteGradient(dose=dose, routes=routes, **fields)
    state = action.act(moment, at.spec, np.random.default_rng(4)).state  # type: ignore[arg-type]
    return replace(at, state=state)


def observed(name: str, at: Context, **fields: Any) -> dict[str, np.ndarray]:
    measure = RoutedReach(preconditioned=False, **fields)
    readings = measure.observe(worked(name).model, tiny.observed(), at)
    return {key: reading.values for key, reading in readings.items()}


def by_hand(name: str, at: Context, dose: float) -> tuple[float, float]:
    """R and the cosine, from the gradients of the margins and of the losses one by one."""
    of_losses = {p: g[TRAIN] for p, g in worked(name).gradients.items()}
    n = TRAIN.sum()
    group = np.asarray(at.state.groups["examples"])[TRAIN]

    def flat(g: np.ndarray) -> np.ndarray:
        return g.reshape(n, -1)

    def is_own(p: str, g: np.ndarray) -> np.ndarray:
        if p not in at.state.owners:
            return np.ones_like(g)
        owner = np.asarray(at.state.owners[p])[None]
        return (owner == group.reshape(-1, *[1] * (g.ndim - 1))) | (owner == -1)

    own = {p: is_own(p, g).astype(float) for p, g in of_losses.items()}
    losses = np.concatenate([flat(g) for g in of_losses.values()], axis=1)
    kept = np.concatenate([flat(own[p] * g) for p, g in of_losses.items()], axis=1)
    total, routed_total = losses.sum(axis=0), kept.sum(axis=0)
    scale = np.linalg.norm(total) / np.linalg.norm(routed_total)
    mixed = (1 - dose) * total + dose * scale * routed_total
    cosine = mixed @ total / np.linalg.norm(mixed) / np.linalg.norm(total)
    u = np.concatenate(
        [flat(((1 - dose) + dose * scale * own[p]) * g) for p, g in slopes(name).items()], axis=1
    )
    return float((u.sum(axis=0) ** 2).sum() / (u**2).sum()), float(cosine)


@pytest.mark.parametrize("name", NAMES)
def test_without_routing_it_is_reach(name: str) -> None:
    at = worked(name).context()
    reach = Reach(preconditioned=False).observe(worked(name).model, tiny.observed(), at)
    found = observed(name, at)
    for what in ("whole", "neuron"):
        np.testing.assert_allclose(
            found[f"routed_reach_{what}"], reach[f"reach_{what}"].values, rtol=2e-4
        )
    assert found["routed_reach_whole"] == found["routed_reach_unrouted"]
    assert found["routed_reach_cosine"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("routes", [RANDOM, RandomWeights(), LABELS], ids=["pairs", "single", "labels"])
@pytest.mark.parametrize("dose", [0.3, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_that_of_what_each_example_writes(name: str, dose: float, routes: Any) -> None:
    at = routed(worked(name).context(), dose, routes)
    found = observed(name, at)
    R, cosine = by_hand(name, at, dose)
    assert found["routed_reach_whole"] == pytest.approx(R, rel=1e-3)
    assert found["routed_reach_cosine"] == pytest.approx(cosine, abs=1e-4)
    assert abs(R - found["routed_reach_unrouted"]) > 1e-3 * R


@pytest.mark.parametrize("name", NAMES)
def test_it_is_1_where_no_two_examples_write_a_weight(name: str) -> None:
    found = observed(name, routed(worked(name).context(), 1.0, RandomWeights()))
    assert found["routed_reach_whole"] == pytest.approx(1, rel=1e-5)
    of_components = found["routed_reach_neuron"]
    np.testing.assert_allclose(of_components[of_components > 0], 1, rtol=1e-4)


def test_a_random_side_is_no_examples_and_leaves_it_as_it_is() -> None:
    at = routed(worked(NAMES[0]).context(), 0.8, deviation="random")
    found = observed(NAMES[0], at)
    assert found["routed_reach_whole"] == found["routed_reach_unrouted"]
    assert found["routed_reach_cosine"] < 0.99


SUBTASKS = MultitaskParity(n_tasks=3, n_bits=6, exponent=0.0, n_examples=60)
PARTS = PartsOfGroups(parts=(1, 2, 3))
SMALL = MLPSpec(d_mlp=7, n_hidden=1)


@pytest.mark.parametrize("split", [LeakyRandom(frac_train=0.6), WholeGroups(frac_train=0.7)])
@pytest.mark.parametrize("dose", [0.0, 0.4, 1.0])
def test_by_group_it_is_that_of_each_groups_examples_alone(dose: float, split: Any) -> None:
    """Margins of two labels written out: their gradients, and the losses', -(1 - p) times these."""
    model = SMALL.init(SUBTASKS.input_space, 2, stream(3, "init"))
    data, groups = make_data(SUBTASKS, split, "true", 0), SUBTASKS.groups()
    at = tiny.context(model, 0, task=SUBTASKS, split=split, model=SMALL)
    action = RouteGradient(dose=dose, routes=PARTS)
    moment = Moment(0, at.state, Regime(data, FullBatch()))
    state = action.act(moment, at.spec, np.random.default_rng(4)).state  # type: ignore[arg-type]
    W, b, U, c = (
        state_dict(model)[name].astype(np.float64)
        for name in ("mlp.0.W_in", "mlp.0.b_in", "unembed.W_U", "unembed.b_U")
    )
    u, own, losses = [], [], []
    for i in np.flatnonzero(data.is_train):
        x, sign = data.inputs[i].astype(np.float64), 2 * data.labels[i] - 1
        pre = x @ W + b
        at_pre = sign * (U[:, 1] - U[:, 0]) * (pre > 0)
        hidden = sign * np.maximum(pre, 0)
        n_parts = PARTS.parts[groups[i]]
        mine = np.ones(7, bool)
        if dose:
            mine = np.arange(7) % n_parts == int(state.groups["examples"][i])
        arrays = np.outer(x, at_pre), at_pre, np.stack([-hidden, hidden], 1), sign * np.array([-1, 1])
        masks = mine[None], mine, mine[:, None], np.ones(2)
        u.append(np.concatenate([a.ravel() for a in arrays]))
        own.append(np.concatenate([(a * m).ravel() for a, m in zip(arrays, masks, strict=True)]))
        margin = hidden @ (U[:, 1] - U[:, 0]) + sign * (c[1] - c[0])
        losses.append(-1 / (1 + np.exp(margin)))
    pulls = np.array(losses)[:, None]
    scale = np.linalg.norm((pulls * u).sum(axis=0)) / np.linalg.norm((pulls * own).sum(axis=0))
    written = (1 - dose) * np.array(u) + dose * scale * np.array(own)
    of = groups[data.is_train]
    found = RoutedReach(preconditioned=False, by_group=True).observe(
        model, Observed.of(data), replace(at, state=state)
    )
    for group, value in enumerate(found["routed_reach_group"].values):
        its = written[of == group]
        if len(its):
            assert value == pytest.approx((its.sum(axis=0) ** 2).sum() / (its**2).sum(), rel=2e-4)
        else:
            assert np.isnan(value)
    whole = (written.sum(axis=0) ** 2).sum() / (written**2).sum()
    assert found["routed_reach_whole"].values == pytest.approx(whole, rel=2e-4)


def test_muon_has_no_metric() -> None:
    with pytest.raises(ValueError, match="preconditioned = false"):
        tiny.spec(
            optimiser={"name": "muon", "lr": 0.01},
            measures=[{"name": "curves"}, {"name": "routed_reach"}],
        )


def test_the_order_of_examples_and_the_size_of_chunks_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = routed(worked(NAMES[0]).context(), 0.5)
    whole = observed(NAMES[0], at)
    monkeypatch.setattr("undergrowth.measures.reinforcement.routed_reach.CACHED", 300)
    for key, value in observed(NAMES[0], at).items():
        np.testing.assert_allclose(value, whole[key], rtol=1e-5)
