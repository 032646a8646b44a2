"""The laws of training: runs are values, whatever interrupts, accompanies or watches them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.engine import initial, train
from undergrowth.engine.facts import Advanced, Diverged, Fact, Fired, Measured, Saved, Stepped
from undergrowth.engine.step import STRETCH, _dropping, slope, update
from undergrowth.engine.under_way import UnderWay
from undergrowth.measures import Observed
from undergrowth.models import AnyModel, load_state_dict, no_hook, state_dict
from undergrowth.models.sites import HOOK_MLP_OUT, is_mlp_out
from undergrowth.spec import RunSpec
from undergrowth.store.checkpoints import BESIDE
from undergrowth.training.batches import MiniBatch
from undergrowth.training.objectives import TrainSet
from undergrowth.training.state import Snapshot, TrainState

ADAMW = {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
FULL, MINI = {"name": "full"}, {"name": "mini", "batch_size": 4}
CURVES = {"name": "curves", "schedule": tiny.EVERY_10}
EVERY_MEASURE = [
    CURVES,
    {"name": "norms", "schedule": tiny.EVERY_10},
    {"name": "saliency", "schedule": tiny.EVERY_10},
    {"name": "deletion", "schedule": tiny.EVERY_10, "ks": [0, 1, 3]},
]

every_way_of_training = pytest.mark.parametrize(
    ("optimiser", "batch"),
    [(ADAMW, FULL), (ADAMW, MINI), (SGD, FULL), (SGD, MINI)],
    ids=["adamw-full", "adamw-mini", "sgd-full", "sgd-mini"],
)


def facts(spec: RunSpec, start: Snapshot | None = None) -> list[Fact]:
    return [fact for _, fact in train([spec], [start])]


def stepped(state: TrainState, spec: RunSpec, examples: TrainSet) -> TrainState:
    """The state after one update."""
    at = jnp.asarray(0)
    _, gradient = slope(state, spec.loss, examples, at)
    return update(state, spec.optimiser, gradient, at, examples.noise_seed)


def facts_of_each(specs: Sequence[RunSpec]) -> list[list[Fact]]:
    found: list[list[Fact]] = [[] for _ in specs]
    for position, fact in train(specs, [None] * len(specs)):
        found[position].append(fact)
    return found


def at(step: int, action: dict[str, Any]) -> dict[str, Any]:
    return {"trigger": {"name": "at_step", "step": step}, "action": action}


def bits(tree: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state_dict(tree).items()}


def as_bits(fact: Fact) -> object:
    """A fact that is equal to another one only where every bit is."""
    if isinstance(fact, Measured):
        readings = {name: (r.dims, r.values.tobytes()) for name, r in fact.readings.items()}
        return "measured", fact.step, readings
    if isinstance(fact, Saved):
        snapshot = fact.snapshot
        curves = {name: list(curve) for name, curve in snapshot.curves.items()}
        return "saved", snapshot.step, bits(snapshot.state), snapshot.fired, curves
    if isinstance(fact, Advanced):
        return "advanced", fact.step, bits(fact.snapshot.state)
    if isinstance(fact, Stepped):
        return "stepped", fact.step, fact.losses.tobytes()
    return fact


def observations(found: Sequence[Fact]) -> list[object]:
    """Readings and weights, bit by bit."""
    return [
        (fact.snapshot.step, bits(fact.snapshot.state)) if isinstance(fact, Saved) else as_bits(fact)
        for fact in found
        if isinstance(fact, Measured | Saved)
    ]


def snapshots(found: Sequence[Fact]) -> dict[int, Snapshot]:
    return {fact.snapshot.step: fact.snapshot for fact in found if isinstance(fact, Saved)}


def curve(found: Sequence[Fact], name: str) -> list[float]:
    measured = (fact.readings for fact in found if isinstance(fact, Measured))
    return [float(readings[name].values) for readings in measured if name in readings]


def update_losses(found: Sequence[Fact]) -> np.ndarray:
    """The loss of every update, in the order made."""
    return np.concatenate([fact.losses for fact in found if isinstance(fact, Stepped)])


def assert_same_up_to_rounding(mine: Sequence[Fact], other: Sequence[Fact]) -> None:
    losses = [update_losses(found) for found in (mine, other)]
    np.testing.assert_allclose(*losses, rtol=1e-3, atol=1e-5)  # a companion's stop parts a stretch
    mine, other = ([f for f in found if not isinstance(f, Stepped)] for found in (mine, other))
    assert [type(fact) for fact in mine] == [type(fact) for fact in other]
    for a, b in zip(mine, other, strict=True):
        if isinstance(a, Saved) and isinstance(b, Saved):
            weights = state_dict(b.snapshot.state)
            for name, array in state_dict(a.snapshot.state).items():
                np.testing.assert_allclose(array, weights[name], rtol=1e-3, atol=1e-5)
        elif isinstance(a, Advanced):
            assert isinstance(b, Advanced)
            assert a.step == b.step
        elif isinstance(a, Measured) and isinstance(b, Measured):
            for name, reading in a.readings.items():
                values = b.readings[name].values
                np.testing.assert_allclose(reading.values, values, rtol=1e-3, atol=1e-5)
        elif isinstance(a, Fired) and isinstance(b, Fired):
            assert (a.step, a.intervention) == (b.step, b.intervention)
            assert a.changed.keys() == b.changed.keys()
            for name, before_after in a.changed.items():
                np.testing.assert_allclose(before_after, b.changed[name], rtol=1e-3, atol=1e-5)
        else:
            assert a == b


def test_facts_come_in_the_order_in_which_things_happen() -> None:
    found = facts(tiny.spec(interventions=[at(10, {"name": "no_op"}), at(14, {"name": "no_op"})]))
    curves_norms_saved = [Measured, Measured, Saved]
    assert [type(fact) for fact in found] == [
        *(*curves_norms_saved, Advanced),  # the untrained model
        *(Stepped, *curves_norms_saved, Advanced, Fired),  # at 10: observed before it is acted on
        *(Stepped, Advanced, Fired),  # at 14
        *(Stepped, *curves_norms_saved, Advanced),
        *(Stepped, *curves_norms_saved, Advanced),
    ]
    assert [fact for fact in found if isinstance(fact, Fired)] == [Fired(10, 0, {}), Fired(14, 1, {})]
    steps = [fact.snapshot.step if isinstance(fact, Saved) else fact.step for fact in found]
    assert steps == sorted(steps)
    assert [(f.step, len(f.losses)) for f in found if isinstance(f, Stepped)] == [
        *((0, 10), (10, 4), (14, 6), (20, 10)),
    ]
    assert [fact.step for fact in found if isinstance(fact, Advanced)] == [0, 10, 14, 20, 30]


def test_the_same_spec_gives_the_same_facts_to_the_bit() -> None:
    one, again = (facts(tiny.spec(measures=EVERY_MEASURE)) for _ in range(2))
    assert [as_bits(fact) for fact in one] == [as_bits(fact) for fact in again]


@pytest.mark.parametrize("which", ["model", "data", "noise"])
def test_each_seed_matters(which: str) -> None:
    spec = tiny.spec(batch=MINI)
    other = tiny.spec(batch=MINI, seeds={which: 1})
    final, of_other = (snapshots(facts(s))[30].state.model for s in (spec, other))
    assert bits(final) != bits(of_other)


@every_way_of_training
def test_an_intervention_that_does_nothing_changes_no_bit(
    optimiser: dict[str, Any], batch: dict[str, Any]
) -> None:
    fields = {"optimiser": optimiser, "batch": batch, "measures": EVERY_MEASURE}
    whenever = {"name": "when_crosses", "reading": "train_loss", "direction": "below", "level": 1e9}
    no_ops = [at(3, {"name": "no_op"}), {"trigger": whenever, "action": {"name": "no_op"}}]
    plain = facts(tiny.spec(**fields))
    intervened = facts(tiny.spec(**fields, interventions=no_ops))
    assert observations(intervened) == observations(plain)
    assert [fact.step for fact in intervened if isinstance(fact, Fired)] == [0, 3]
    scaled = at(3, {"name": "scale_learning_rate", "factor": 1.01})
    assert observations(facts(tiny.spec(**fields, interventions=[scaled]))) != observations(plain)


@every_way_of_training
@pytest.mark.parametrize("step", [10, 20])
def test_a_run_taken_up_from_a_snapshot_equals_the_uninterrupted_one_to_the_bit(
    step: int, optimiser: dict[str, Any], batch: dict[str, Any]
) -> None:
    crossing = {
        "trigger": {
            "name": "when_crosses",
            "reading": "train_loss",
            "direction": "below",
            "level": 1e9,
            "evaluations": 3,  # fires at 20: at 10 it rests on curves from before the snapshot
        },
        "action": {"name": "scale_learning_rate", "factor": 0.5, "keep_decay_pull": True},
    }
    spec = tiny.spec(
        optimiser=optimiser,
        batch=batch,
        measures=EVERY_MEASURE,
        interventions=[
            at(5, {"name": "scale_learning_rate", "factor": 3}),
            crossing,
            at(25, {"name": "set_weight_decay", "weight_decay": 0.5}),
        ],
    )
    whole = facts(spec)
    assert [(fact.step, fact.intervention) for fact in whole if isinstance(fact, Fired)] == [
        (5, 0),
        (20, 1),
        (25, 2),
    ]
    stored = snapshots(whole)[step]
    rest = facts(spec, on_and_off_disk(spec, stored))
    saved = next(i for i, f in enumerate(whole) if isinstance(f, Saved) and f.snapshot.step == step)
    assert [as_bits(fact) for fact in rest] == [as_bits(fact) for fact in whole[saved + 2 :]]


def on_and_off_disk(spec: RunSpec, snapshot: Snapshot) -> Snapshot:
    """The snapshot by way of named numpy arrays, as a checkpoint keeps it."""
    blank = initial(spec).state
    state = TrainState(
        load_state_dict(blank.model, state_dict(snapshot.state.model)),
        load_state_dict(blank.opt_state, state_dict(snapshot.state.opt_state)),
        **{field: getattr(snapshot.state, field) for field in BESIDE},
    )
    return Snapshot(snapshot.step, state, snapshot.fired, snapshot.curves)


def test_a_finished_run_has_nothing_left_to_do() -> None:
    spec = tiny.spec()
    assert facts(spec, snapshots(facts(spec))[30]) == []


def test_watching_a_run_more_often_changes_no_bit() -> None:
    rarely = {"every": 1000, "until": 1000, "per_decade": 1}
    steps = STRETCH + 30
    seldom = facts(tiny.spec(steps=steps, checkpoints=rarely, measures=[{**CURVES, "schedule": rarely}]))
    often = facts(tiny.spec(steps=steps))
    assert bits(snapshots(seldom)[steps].state) == bits(snapshots(often)[steps].state)
    assert [fact.step for fact in seldom if isinstance(fact, Advanced)] == [0, STRETCH, steps]


def test_a_step_goes_down_the_gradient_of_the_mean_loss_over_the_training_set() -> None:
    """Against central differences of a float64 numpy forward pass."""
    sgd = {"name": "sgd", "lr": 0.5, "warmup_steps": 0}
    spec = tiny.spec(steps=1, optimiser=sgd)
    before, after = (state_dict(s.state.model) for s in snapshots(facts(spec)).values())
    data = spec.data()
    inputs, labels = data.inputs[data.is_train], data.labels[data.is_train]

    def mean_loss(weights: dict[str, np.ndarray]) -> float:
        return -brute_force.score("log_prob", brute_force.mlp(weights, inputs), labels).mean()

    h = 1e-5
    for name, array in before.items():
        expected = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = array.astype(np.float64)
                moved[index] += sign * h
                ends.append(mean_loss({**before, name: moved}))
            expected[index] = array[index] - 0.5 * (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(after[name], expected, atol=2e-6)
        assert (after[name] != before[name]).any()


def test_mini_batches_are_those_of_the_noise_seed() -> None:
    spec = tiny.spec(batch=MINI, seeds={"noise": 9})
    data, state = spec.data(), initial(spec).state
    observed = Observed.of(data)
    side = np.flatnonzero(data.is_train)
    noise_seed = jnp.uint32(9)

    @jax.jit
    def step(state: TrainState, inputs: jax.Array, labels: jax.Array) -> TrainState:
        examples = TrainSet(inputs, labels, None, noise_seed)
        return stepped(state, spec, examples)

    batches = spec.batch.indices(data.n_train, 9, 0, 30)
    assert batches is not None
    for batch in batches:
        chosen = jnp.asarray(side[batch])
        state = step(state, observed.inputs[chosen], observed.labels[chosen])
    final = state_dict(snapshots(facts(spec))[30].state.model)
    for name, array in state_dict(state.model).items():
        np.testing.assert_allclose(final[name], array, rtol=1e-4, atol=1e-6)


def test_a_smaller_last_batch_is_a_step_down_the_mean_loss_of_its_examples() -> None:
    """15 examples in batches of 4: the fourth has 3, and an empty place that counts nothing."""
    spec = tiny.spec(batch={**MINI, "batch_size": 4, "remainder": "kept"}, steps=8)
    data, state = spec.data(), initial(spec).state
    observed, side = Observed.of(data), np.flatnonzero(data.is_train)

    @jax.jit
    def step(state: TrainState, inputs: jax.Array, labels: jax.Array) -> TrainState:
        return stepped(state, spec, TrainSet(inputs, labels, None, jnp.uint32(0)))

    for batch in MiniBatch(batch_size=4, remainder="kept").indices(data.n_train, 0, 0, 8):
        chosen = jnp.asarray(side[batch[batch >= 0]])
        state = step(state, observed.inputs[chosen], observed.labels[chosen])
    found = snapshots(facts(spec))[8].state
    for name, array in state_dict(state.model).items():
        np.testing.assert_allclose(state_dict(found.model)[name], array, rtol=1e-4, atol=1e-6)
    weights = UnderWay(spec, snapshots(facts(spec.replace(steps=3)))[3], ()).next_update().weights
    np.testing.assert_allclose(weights, np.full(3, 1 / 3), rtol=1e-6)


def test_noise_on_the_update_is_normal_and_as_large_as_rate_and_warm_up_make_it() -> None:
    optimiser = {**ADAMW, "lr": 0.02, "warmup_steps": 4}
    quiet = tiny.spec(optimiser=optimiser, steps=1, model={**tiny.MLP.model_dump(), "d_mlp": 400})
    noisy = quiet.replace(noise={"update": 3.0})
    one, other = (state_dict(snapshots(facts(spec))[1].state.model) for spec in (quiet, noisy))
    added = np.concatenate([(other[name] - array).ravel() for name, array in one.items()])
    sd = 3.0 * 0.02 / 4
    assert added.std() == pytest.approx(sd, rel=0.03)
    assert abs(added.mean()) < 4 * sd / len(added) ** 0.5
    assert (np.abs(added) < sd).mean() == pytest.approx(0.683, abs=0.03)


def test_residual_dropout_is_inverted_dropout_of_what_the_mlps_write_and_of_nothing_else() -> None:
    drop = _dropping(no_hook, jnp.asarray(0.25), jax.random.key(0), is_mlp_out)
    ones = jnp.ones((200, 50))
    assert drop("blocks.1.mlp.hook_post", ones) is ones
    dropped = np.asarray(drop(HOOK_MLP_OUT.format(1), ones))
    assert set(np.unique(dropped).round(5)) == {0, np.float32(4 / 3).round(5)}
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    deep = {**tiny.TRANSFORMER.model_dump(), "layer_norm": "post"}
    states = [
        bits(snapshots(facts(tiny.spec(model=deep, noise={"residual_dropout": rate}, steps=2)))[2].state)
        for rate in (0.0, 0.25)
    ]
    assert states[0] != states[1]


@pytest.mark.parametrize("limit", [("CACHED", 24), ("ROOM", 20)])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_gradient_summed_over_chunks_is_that_of_all_examples_at_once(
    weighted: bool, limit: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 examples of 6 neurons in chunks of 4: the last is filled up, which must not count."""
    spec, state = tiny.spec(), initial(tiny.spec()).state
    observed = tiny.observed()
    side = np.flatnonzero(observed.is_train)
    weights = jnp.linspace(0.5, 1.5, 15) if weighted else None
    examples = TrainSet(observed.inputs[side], observed.labels[side], weights, jnp.uint32(0))

    def once() -> dict[str, np.ndarray]:
        one = jax.jit(lambda s: stepped(s, spec, examples))
        return state_dict(one(state).opt_state)

    whole = once()
    monkeypatch.setattr(f"undergrowth.training.objectives.mean_loss.{limit[0]}", limit[1])
    for name, array in once().items():
        np.testing.assert_allclose(array, whole[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("batch", [FULL, MINI], ids=["full", "mini"])
def test_runs_packed_together_agree_with_runs_alone(batch: dict[str, Any]) -> None:
    specs = [
        tiny.spec(batch=batch).seeded(1),
        tiny.spec(batch=batch, optimiser={**ADAMW, "lr": 0.03}).seeded(2),
        tiny.spec(
            batch=batch, interventions=[at(15, {"name": "scale_learning_rate", "factor": 5})]
        ).seeded(3),
    ]
    packed = facts_of_each(specs)
    assert curve(packed[0], "train_loss") != curve(packed[1], "train_loss")
    for spec, together in zip(specs, packed, strict=True):
        alone = facts(spec)
        # A companion's intervention at 15 is a stop for all, seen by nobody else's measures.
        assert_same_up_to_rounding(*(_but_for_the_stop(found, 15) for found in (together, alone)))


def _but_for_the_stop(found: Sequence[Fact], step: int) -> list[Fact]:
    return [fact for fact in found if not (isinstance(fact, Advanced) and fact.step == step)]


def test_a_diverging_run_ends_and_its_companion_goes_on() -> None:
    later = [at(15, {"name": "scale_learning_rate", "factor": 2})]
    sane = tiny.spec(interventions=later)
    absurd = tiny.spec(optimiser={**ADAMW, "lr": 1e30}, interventions=later)
    diverged, companion = facts_of_each([absurd, sane])
    assert diverged[-1] == Diverged(10)
    assert not np.isfinite(curve(diverged, "train_loss")[-1])
    assert list(snapshots(diverged)) == [0]  # nothing to go on from is kept
    assert_same_up_to_rounding(companion, facts(sane))
    assert list(snapshots(companion)) == [0, 10, 20, 30]


def test_a_run_alone_stops_where_it_diverges() -> None:
    found = facts(tiny.spec(optimiser={**ADAMW, "lr": 1e30}, steps=1000))
    assert found[-1] == Diverged(10)
    assert max(fact.step for fact in found if isinstance(fact, Measured)) == 10


def test_an_instrument_reads_infinity_where_its_numbers_overflow() -> None:
    """Squares of weights beyond 2e19 have no place in float32: that is neither warning nor error."""
    seen = {"name": "component_norms", "schedule": {"every": 1, "until": 10}}
    sgd = {"name": "sgd", "lr": 1e22}
    found = facts(tiny.spec(optimiser=sgd, measures=[CURVES, seen], steps=10))
    (norms,) = (
        fact.readings["component_norm"]
        for fact in found
        if isinstance(fact, Measured) and fact.step == 1 and "component_norm" in fact.readings
    )
    assert np.isinf(norms.values).any()


@pytest.mark.parametrize("action", ["scale_learning_rate", "set_weight_decay"])
def test_what_an_intervention_changed_is_told(action: str) -> None:
    field = {"scale_learning_rate": "factor", "set_weight_decay": "weight_decay"}[action]
    found = facts(tiny.spec(interventions=[at(5, {"name": action, field: 3})]))
    (fired,) = (fact for fact in found if isinstance(fact, Fired))
    changed = {"learning_rate": (0.01, 0.03)} if "rate" in action else {"weight_decay": (0.1, 3)}
    assert fired.changed.keys() == changed.keys()
    for name, before_after in changed.items():
        assert fired.changed[name] == pytest.approx(before_after)


@pytest.mark.parametrize("model", [tiny.TRANSFORMER, tiny.MLP], ids=lambda model: model.name)
def test_a_tiny_model_learns_its_training_set(model: AnyModel) -> None:
    eager = {"name": "adamw", "lr": 0.02, "weight_decay": 0.0}
    fields = {"model": model.model_dump(), "optimiser": eager, "measures": [CURVES]}
    found = facts(tiny.spec(**fields, steps=300).seeded(1))
    loss, accuracy = curve(found, "train_loss"), curve(found, "train_accuracy")
    assert loss[0] == pytest.approx(np.log(5), abs=1)
    assert accuracy[0] < 0.6
    assert accuracy[-1] == 1
    assert loss[-1] < 0.01
    assert sum(b < a for a, b in pairwise(loss)) > 0.9 * (len(loss) - 1)


@every_way_of_training
def test_the_loss_of_every_update_is_that_of_the_weights_before_it(
    optimiser: dict[str, Any], batch: dict[str, Any]
) -> None:
    every_step = {"name": "curves", "schedule": {"every": 1, "until": 30, "per_decade": 1}}
    spec = tiny.spec(optimiser=optimiser, batch=batch, measures=[every_step])
    found = facts(spec)
    losses, measured = update_losses(found), curve(found, "train_loss")
    assert losses.shape == (30,)
    if batch == FULL:
        np.testing.assert_allclose(losses, measured[:30], rtol=1e-5)
    else:
        assert np.abs(losses / measured[:30] - 1).max() > 0.01  # of a batch, not of all
        indices = MiniBatch(batch_size=4).indices(15, spec.seeds.noise, 0, 30)
        by_hand = batch_losses(spec, found, indices)
        np.testing.assert_allclose(losses[::10], by_hand[::10], rtol=1e-4)


def batch_losses(spec: RunSpec, found: Sequence[Fact], indices: np.ndarray) -> np.ndarray:
    """The mean cross-entropy of each batch under the snapshot of its step; NaN without one."""
    kept, losses = snapshots(found), np.full(30, np.nan)
    data, side = spec.data(), np.flatnonzero(spec.data().is_train)
    for step in set(kept) & set(range(30)):
        batch = side[indices[step]]
        logits = brute_force.mlp(state_dict(kept[step].state.model), data.inputs[batch])
        scores = brute_force.score("log_prob", logits, data.labels[batch])
        losses[step] = -scores.mean()
    return losses


def test_an_update_in_parts_is_the_update_made() -> None:
    """Data, decay and clamp together are what one step changes, by an optimiser that has begun."""
    clamp = at(10, {"name": "clamp_norm"})
    spec = tiny.spec(
        interventions=[clamp],
        checkpoints={"every": 1, "until": 30, "per_decade": 1},
        optimiser={**ADAMW, "warmup_steps": 0},
    )
    kept = snapshots(facts(spec))
    for step in (5, 20):
        update = UnderWay(spec, kept[step], ()).next_update()
        parts = [state_dict(part) for part in (update.data, update.decay, update.clamp)]
        before, after = (state_dict(kept[s].state.model) for s in (step, step + 1))
        for name in before:
            whole = sum(part[name].astype(np.float64) for part in parts)
            np.testing.assert_allclose(after[name] - before[name], whole, atol=3e-7)
            np.testing.assert_allclose(parts[1][name], -0.01 * 0.1 * before[name], atol=1e-8)
            assert (np.abs(parts[2][name]).max() > 0) == (step == 20)
        assert (update.batch == np.flatnonzero(spec.data().is_train)).all()
        assert update.weights == pytest.approx(np.full(15, 1 / 15))
