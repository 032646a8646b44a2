"""The ledger against every example's gradient by brute force, and against what the loss really does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, brute_gradients, planted, tiny
from tests.brute_force import in_float64
from tests.measures.worked_examples import ADAMW, NAMES, Worked, worked
from undergrowth.measures import Reading
from undergrowth.measures.reinforcement.entries import effective_examples, ledger, summed
from undergrowth.measures.reinforcement.ledger import Ledger, parts_of
from undergrowth.models import Ablated, TwoTokenMLP, load_state_dict, state_dict
from undergrowth.models.two_token_mlp import Hidden, PairEmbed, Unembed

SMOOTH = tiny.MLP.model_copy(update={"act_fn": "square"})
every_model = pytest.mark.parametrize("name", NAMES)


def changes_of(case: Worked) -> dict[str, dict[str, np.ndarray]]:
    return {part: in_float64(state_dict(tree)) for part, tree in parts_of(case.context()).items()}


def truth(case: Worked, site: str, part: str) -> np.ndarray:
    """-gradient . change of each component, [example, component], by brute force."""
    change = changes_of(case)[part]
    n = next(each.n_components for each in case.model.sites if each.name == site)
    return -np.stack(
        [
            brute_gradients.of_component(case.gradients, site, c)
            @ brute_gradients.of_component(change, site, c, example_axis=False)
            for c in range(n)
        ],
        axis=1,
    )


def fall_by_parameter(case: Worked, part: str) -> dict[str, np.ndarray]:
    """[example] by parameter."""
    change = changes_of(case)[part]
    return {
        name: -(gradient * change[name]).reshape(len(gradient), -1).sum(axis=1)
        for name, gradient in case.gradients.items()
    }


def entries_of(case: Worked) -> dict[str, np.ndarray]:
    at = case.context()
    return ledger(
        case.model,
        tiny.observed(),
        parts_of(at),
        loss=at.spec.loss,
        temperature=at.spec.temperature,
    )


def observe(case: Worked, per_example: bool = False) -> dict[str, Reading]:
    return dict(Ledger(per_example=per_example).observe(case.model, tiny.observed(), case.context()))


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6 * np.abs(expected).max())


@every_model
def test_every_entry_is_minus_the_brute_force_gradient_times_the_change(name: str) -> None:
    case = worked(name)
    found = entries_of(case)
    for site in case.model.sites:
        for k, part in enumerate(("data", "decay")):
            expected = truth(case, site.name, part)
            assert np.abs(expected).max() > 1e-5
            assert_equal(found[site.name][:, k], expected)


@every_model
def test_all_entries_of_an_example_sum_to_the_whole_fall_of_its_loss(name: str) -> None:
    case = worked(name)
    found = np.sum([entries.sum(axis=2) for entries in entries_of(case).values()], axis=0)
    for k, part in enumerate(("data", "decay")):
        assert_equal(found[:, k], np.sum(list(fall_by_parameter(case, part).values()), axis=0))


@every_model
def test_the_measure_reduces_the_ledger_over_each_side(name: str) -> None:
    case = worked(name)
    readings, families = observe(case), {}
    for site in case.model.sites:
        families.setdefault(site.component, []).append(site.name)
    for component, sites in families.items():
        for layer, site in enumerate(sites):
            parts = [truth(case, site, part) for part in ("data", "decay")]
            for k, r in enumerate((parts[0] + parts[1], *parts)):
                for s, side in enumerate(tiny.observed().sides()):
                    here, positive = r[side], np.maximum(r[side], 0)
                    squares = (positive**2).sum(axis=0)
                    expected = {
                        "total": here.sum(axis=0),
                        "positive": (here > 0).mean(axis=0),
                        "effective_examples": positive.sum(axis=0) ** 2
                        / np.where(squares > 0, squares, 1),
                    }
                    for what, values in expected.items():
                        reading = readings[f"ledger_{component}_{what}"]
                        assert reading.dims == ("layer", "side", "part", component)
                        assert_equal(reading.values[layer, s, k], values)


@every_model
def test_the_budget_closes_by_site_and_by_parameter(name: str) -> None:
    case = worked(name)
    readings = observe(case)
    by_site, by_parameter = readings["ledger_budget"], readings["ledger_parameter"]
    assert by_parameter.coords["parameter"] == tuple(state_dict(case.model))
    for s, side in enumerate(tiny.observed().sides()):
        for k, part in enumerate(("data", "decay"), start=1):
            falls = {name: fall[side].mean() for name, fall in fall_by_parameter(case, part).items()}
            assert_equal(by_parameter.values[:, s, k], np.array(list(falls.values())))
            whole = float(readings[f"ledger_{('train', 'val')[s]}_{part}"].values)
            assert whole == pytest.approx(sum(falls.values()), rel=1e-4)
            assert by_site.values[:, s, k].sum() == pytest.approx(whole, rel=1e-3)
    assert (by_site.values[-1] != 0).all() == (name == "mlp")  # the matrix between the two layers
    whole, data, decay = np.moveaxis(by_parameter.values, 2, 0)
    np.testing.assert_allclose(whole, data + decay, rtol=1e-4, atol=1e-7)


@every_model
def test_the_change_is_what_the_loss_does_at_the_weights_after_the_update(name: str) -> None:
    case = worked(name)
    readings = observe(case)
    after = {
        name: w + sum(change[name] for change in changes_of(case).values())
        for name, w in case.weights.items()
    }
    rise = case.losses(after) - case.losses(case.weights)
    for s, side in zip(("train", "val"), tiny.observed().sides(), strict=True):
        found = {n: float(readings[f"ledger_{s}_{n}"].values) for n in ("change", "total", "residual")}
        assert found["change"] == pytest.approx(rise[side].mean(), rel=1e-3)
        assert found["residual"] == pytest.approx(found["change"] + found["total"], abs=1e-6)


def test_half_the_step_leaves_a_quarter_of_the_residual() -> None:
    """Of a smooth network: along a ReLU's the loss has kinks."""
    smooth = Worked(tiny.made(SMOOTH, seed=9), {"model": SMOOTH.model_dump(), "optimiser": ADAMW})
    update, residuals = parts_of(smooth.context()), []
    for share in (1.0, 0.5, 0.25):
        step = {
            n: w + share * sum(change[n] for change in changes_of(smooth).values())
            for n, w in smooth.weights.items()
        }
        rise = smooth.losses(step) - smooth.losses(smooth.weights)
        entries = ledger(smooth.model, tiny.observed(), update).values()
        first_order = share * sum(each.sum(axis=(1, 2)) for each in entries)
        residuals.append(rise + first_order)
    ratios = [np.median(a / b) for a, b in pairwise(residuals)]
    assert ratios == pytest.approx([4, 4], abs=0.4)


def test_examples_in_several_chunks_are_the_same_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    case = worked("transformer")
    together, at_once = observe(case), entries_of(case)
    monkeypatch.setattr("undergrowth.measures.reinforcement.example_gradients.EXAMPLES_AT_ONCE", 7)
    for name, reading in observe(case).items():
        np.testing.assert_allclose(
            reading.values, together[name].values, rtol=2e-4, atol=1e-6, err_msg=name
        )
    for name, entries in entries_of(case).items():
        assert entries.shape == at_once[name].shape
        np.testing.assert_allclose(entries, at_once[name], rtol=1e-4, atol=1e-7)


def test_the_stored_entries_are_the_ledger() -> None:
    case = worked("deep")
    reading, entries = observe(case, per_example=True)["ledger_head_entries"], entries_of(case)
    assert reading.dims == ("layer", "part", "example", "head")
    assert reading.coords["part"] == ("data", "decay")
    for layer in range(2):
        found = reading.values[layer].swapaxes(0, 1)
        assert_equal(found, entries[f"blocks.{layer}.attn.hook_z"])


def test_a_closed_gate_leaves_nothing_to_reinforce() -> None:
    model, open_gates = tiny.mlp(), np.array([1, 1, 0, 1, 1, 1], np.float32)
    (site,) = model.sites
    closed = Ablated(model, {site.name: jnp.asarray(open_gates)}, {})
    update = parts_of(worked("two_token_mlp").context())
    entries = ledger(closed, tiny.observed(), update)[site.name]
    assert ((np.abs(entries).max(axis=(0, 1)) > 0) == (open_gates > 0)).all()


def test_effective_examples_do_not_fade_with_the_loss() -> None:
    """At losses of 1e-13 to 1e-34 the squares of the entries are below float32, their ratios are not."""
    weights = state_dict(tiny.mlp())
    weights["unembed.W_U"] = 100 * weights["unembed.W_U"]
    model, data = load_state_dict(tiny.mlp(), weights), tiny.observed()
    inputs = np.asarray(data.inputs)
    labels = brute_force.mlp(weights, inputs).argmax(axis=1)

    def losses(weights: brute_force.Weights) -> np.ndarray:
        return brute_gradients.losses("ce", brute_force.mlp(weights, inputs), labels)

    fitted = (losses(weights) > 1e-34) & (losses(weights) < 1e-13)
    assert fitted.sum() > 5
    update = parts_of(worked("two_token_mlp").context())
    data = replace(data, labels=jnp.asarray(labels, jnp.int32))
    found = summed(model, data, np.flatnonzero(fitted), update, "cross_entropy", jnp.ones(()))
    gradients = brute_gradients.gradients(losses, weights, h=1e-8)
    change = in_float64(state_dict(update["data"]))
    r = -np.stack(
        [
            brute_gradients.of_component(gradients, "mlp.hook_post", c)[fitted]
            @ brute_gradients.of_component(change, "mlp.hook_post", c, example_axis=False)
            for c in range(6)
        ],
        axis=1,
    )
    assert np.abs(r).max() < 1e-11
    assert_equal(found.effective_examples("mlp.hook_post")[1], effective_examples(r))
    assert_equal(found.total["mlp.hook_post"][1], r.sum(axis=0))


def test_a_part_for_what_holds_a_norm_where_an_intervention_does() -> None:
    clamp = {"trigger": {"name": "at_step", "step": 3}, "action": {"name": "clamp_norm"}}
    at = tiny.context(tiny.mlp(), interventions=[clamp])
    readings = Ledger().observe(tiny.mlp(), tiny.observed(), at)
    assert readings["ledger_budget"].coords["part"] == ("total", "data", "decay", "clamp")


def test_a_look_up_neuron_is_reinforced_by_its_own_example_alone() -> None:
    data = tiny.observed()
    pairs = [(x, y) for x, y in np.asarray(data.inputs)[np.asarray(data.is_train)].tolist()]
    model = planted.lookup(5, pairs)
    at = tiny.context(model, optimiser={"name": "sgd", "lr": 0.1})
    readings = Ledger().observe(model, data, at)
    (train, val) = readings["ledger_neuron_effective_examples"].values[0, :, 1]
    assert train == pytest.approx(np.ones(len(pairs)))
    assert (val == 0).all()
    positive = readings["ledger_neuron_positive"].values[0, 0, 1]
    assert positive == pytest.approx(np.full(len(pairs), 1 / len(pairs)))


def test_a_neuron_that_all_examples_use_alike_is_reinforced_by_all_of_them() -> None:
    always_on = TwoTokenMLP(
        PairEmbed(jnp.zeros((5, 1)), jnp.zeros((5, 1))),
        Hidden(jnp.ones((1, 1)), jnp.ones(1)),
        Unembed(jnp.zeros((1, 5))),
        combine="summed",
    )
    change = eqx.tree_at(
        lambda model: model.unembed.W_U,
        jax.tree.map(jnp.zeros_like, always_on),
        jnp.eye(1, 5),
    )
    data = replace(tiny.observed(), labels=jnp.zeros(25, jnp.int32))
    entries = ledger(always_on, data, {"more of label 0": change})["mlp.hook_post"]
    np.testing.assert_allclose(entries, 0.8, rtol=1e-6)  # 1 - p of five equal logits
    assert effective_examples(entries).item() == pytest.approx(25)


def test_effective_examples_are_those_that_share() -> None:
    r = np.zeros((8, 4))
    r[:, 0] = 1e-200
    r[3, 1] = 5.0
    r[:4, 2], r[4:, 2] = 2.0, -3.0
    assert effective_examples(r).tolist() == pytest.approx([8, 1, 4, 0])
