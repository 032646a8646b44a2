"""Reach against all pairs of brute-force gradients, and where it is known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, brute_gradients, planted, tiny
from tests.measures.worked_examples import NAMES, worked
from undergrowth.measures import Directions, Observed, Pushes, Reach, complement, of_irreps, pushes
from undergrowth.measures.harmonics.group_tables import group_table
from undergrowth.measures.reinforcement.pushes import PushedScore
from undergrowth.models import Model, TwoTokenMLP, load_state_dict
from undergrowth.models.two_token_mlp import Hidden, PairEmbed, Unembed
from undergrowth.spec import SpecError
from undergrowth.tasks import Modular

every_model = pytest.mark.parametrize("name", NAMES)
with_and_without = pytest.mark.parametrize("has_p", [False, True], ids=["P = 1", "P"])
TRAIN, _ = tiny.observed().sides()
MASK = np.array([True, False, True, False, True, False])
FREQUENCY = "2"


def score(name: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The margin, or the centred logit, of each example."""
    if name == "centred_logit":
        return brute_force.score(name, logits, labels)
    is_label = np.arange(logits.shape[1]) == labels[:, None]
    return logits[is_label] - np.where(is_label, -np.inf, logits).max(axis=1)


@cache
def slopes(name: str, of: str = "margin") -> brute_force.Weights:
    """The gradient of every training example's score: by parameter [example, *shape]."""
    case, data = worked(name), tiny.observed()
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)

    def scores(weights: brute_force.Weights) -> np.ndarray:
        return score(of, case.logits(weights, inputs), labels)

    found = brute_gradients.gradients(scores, case.weights)
    return {parameter: gradient[TRAIN] for parameter, gradient in found.items()}


@cache
def metric(name: str) -> brute_force.Weights:
    """Any P, over three decades."""
    rng = np.random.default_rng(5)
    return {n: 10 ** rng.uniform(-2, 1, w.shape) for n, w in worked(name).weights.items()}


def ones(name: str) -> brute_force.Weights:
    return {n: np.ones_like(w) for n, w in worked(name).weights.items()}


def found_in(name: str, *, has_p: bool, of: PushedScore = "margin", **how: Any) -> dict[str, Pushes]:
    case = worked(name)
    p = None
    if has_p:
        p = load_state_dict(case.model, {n: a.astype(np.float32) for n, a in metric(name).items()})
    spec = case.context().spec
    return pushes(
        case.model,
        tiny.observed(),
        score=of,
        preconditioner=p,
        loss=spec.loss,
        temperature=spec.temperature,
        **how,
    )


@cache
def with_a_frequency(name: str, has_p: bool) -> dict[str, Pushes]:
    """All groups, and the functions of one frequency against all else."""
    table = group_table(Modular(p=5))
    assert table is not None
    inside = of_irreps(worked(name).model, table, [FREQUENCY])
    named = {"inside": inside, "outside": complement(inside)}
    return found_in(name, has_p=has_p, subspaces=named)


def laid(arrays: brute_force.Weights, names: Sequence[str]) -> np.ndarray:
    """[example, weight] of some parameters."""
    return np.concatenate([arrays[n].reshape(len(arrays[n]), -1) for n in names], axis=1)


def assert_of_all_pairs(
    found: Pushes, k: int, m: np.ndarray, loss: np.ndarray, p: np.ndarray, theta: np.ndarray
) -> None:
    """m, loss: gradients [example, weight]; p, theta: [weight]. Every K_ij is written out."""
    K, L = (m * p) @ m.T, -(m * p) @ loss.T
    n = len(m)
    expected = {
        "together": K.sum(),
        "alone": np.trace(K),
        "reach": K.sum() / np.trace(K) if np.trace(K) > 0 else 0,
        "own_push": np.trace(K) / n,
        "by_loss_together": L.sum(),
        "by_loss_alone": np.trace(L),
        "squared_norm": theta @ theta,
        "strength": (m @ theta).mean(),
    }
    scale = {"together": np.abs(K).sum(), "by_loss_together": np.abs(L).sum()}
    scale |= {"by_loss_alone": np.abs(np.diag(L)).sum(), "strength": np.abs(m * theta).sum() / n}
    scale["reach"] = scale["together"] / max(np.trace(K), 1e-30)
    for what, value in expected.items():
        atol = 2e-5 * (scale[what] if what in scale else abs(value)) + 1e-12
        np.testing.assert_allclose(getattr(found, what)[k], value, rtol=2e-4, atol=atol, err_msg=what)
    assert found.n == n


@with_and_without
@every_model
def test_every_component_module_and_the_whole_have_the_sums_of_all_pairs(name: str, has_p: bool) -> None:
    case, m, p = worked(name), slopes(name), (metric if has_p else ones)(name)
    loss = {n: g[TRAIN] for n, g in case.gradients.items()}
    found = with_a_frequency(name, has_p)
    for site in case.model.sites:
        for c in range(site.n_components):
            of = [brute_gradients.of_component(a, site.name, c) for a in (m, loss)]
            by = [
                brute_gradients.of_component(a, site.name, c, example_axis=False)
                for a in (p, case.weights)
            ]
            assert_of_all_pairs(found[site.name], c, *of, *by)
    modules = Reach(preconditioned=False).observe(case.model, tiny.observed(), case.context())
    names = {
        module: [n for n in m if n.rsplit(".", 1)[0] == module]
        for module in modules["reach_module"].coords["module"]
    }
    assert sorted(n for of_module in names.values() for n in of_module) == sorted(m)
    for k, of_module in enumerate(names.values()):
        by = (
            laid({n: a[None] for n, a in arrays.items()}, of_module)[0] for arrays in (p, case.weights)
        )
        assert_of_all_pairs(found["module"], k, laid(m, of_module), laid(loss, of_module), *by)
    by = (laid({n: a[None] for n, a in arrays.items()}, list(m))[0] for arrays in (p, case.weights))
    assert_of_all_pairs(found["whole"], 0, laid(m, list(m)), laid(loss, list(m)), *by)


@with_and_without
@every_model
def test_the_functions_of_a_frequency_and_all_else_of_the_operands_weights(
    name: str, has_p: bool
) -> None:
    """The cosine and sine are written out; the metric is that of the weights."""
    case, m, p = worked(name), slopes(name), (metric if has_p else ones)(name)
    loss = {n: g[TRAIN] for n, g in case.gradients.items()}
    found = with_a_frequency(name, has_p)
    angle = 2 * np.pi * 2 * np.arange(5) / 5
    waves = np.sqrt(2 / 5) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    parameters = {"mlp": ["mlp.0.W_in"], "two_token_mlp": ["embed.W_x", "embed.W_y"]}
    parameters = parameters.get(name, ["embed.W_E"])
    parts: dict[str, list[list[np.ndarray]]] = {"inside": [], "outside": []}
    for n in parameters:
        n_rows = len(case.weights[n])
        onto = np.zeros((n_rows, n_rows))
        for start in (0, 5) if name == "mlp" else (0,):
            onto[start : start + 5, start : start + 5] = waves @ waves.T
        for part, projector in (("inside", onto), ("outside", np.eye(n_rows) - onto)):
            seen = [np.einsum("rs,...sk->...rk", projector, a[n]) for a in (m, loss, case.weights)]
            parts[part].append([seen[0], seen[1], p[n][None], seen[2][None]])
    for part, of_parameters in parts.items():
        joined = [
            np.concatenate([a.reshape(len(a), -1) for a in kind], axis=1)
            for kind in zip(*of_parameters, strict=True)
        ]
        assert np.abs(joined[0]).max() > 1e-3
        assert_of_all_pairs(found[part], 0, joined[0], joined[1], joined[2][0], joined[3][0])


def test_directions_along_what_a_matrix_writes() -> None:
    name = "transformer"
    case, m, p = worked(name), slopes(name)["unembed.W_U"], metric(name)["unembed.W_U"]
    loss = case.gradients["unembed.W_U"][TRAIN]
    columns = np.random.default_rng(0).standard_normal((5, 2))
    onto = columns @ np.linalg.pinv(columns)
    some = (Directions.spanned("unembed.W_U", columns, axis=1),)
    found = found_in(name, has_p=True, subspaces={"some": some})["some"]
    mine, its = ((a @ onto).reshape(len(a), -1) for a in (m, loss))
    weights = (case.weights["unembed.W_U"] @ onto).ravel()
    assert_of_all_pairs(found, 0, mine, its, p.ravel(), weights)


def test_a_mask_is_one_group_and_the_centred_logit_another_score() -> None:
    name = "transformer"
    case, m = worked(name), slopes(name, "centred_logit")
    site = case.model.sites[1].name
    found = found_in(name, has_p=True, of="centred_logit", masks={"some": (site, MASK)})["some"]
    loss = {n: g[TRAIN] for n, g in case.gradients.items()}
    chosen = np.flatnonzero(MASK).tolist()
    of = [
        np.concatenate([brute_gradients.of_component(a, site, c) for c in chosen], axis=1)
        for a in (m, loss)
    ]
    by = [
        np.concatenate([brute_gradients.of_component(a, site, c, example_axis=False) for c in chosen])
        for a in (metric(name), case.weights)
    ]
    assert_of_all_pairs(found, 0, *of, *by)


def made_of(inputs: np.ndarray, labels: np.ndarray) -> Observed:
    """All of them trained on."""
    n = len(labels)
    return Observed(
        jnp.asarray(inputs, jnp.int32),
        jnp.asarray(labels, jnp.int32),
        jnp.ones(n, bool),
        jnp.zeros(n, bool),
        jnp.ones(n),
    )


@pytest.mark.parametrize("model", [tiny.transformer(), tiny.mlp()], ids=["transformer", "mlp"])
def test_n_copies_of_an_example_have_reach_n(model: Model) -> None:
    found = pushes(model, made_of(np.tile([[1, 3]], (12, 1)), np.full(12, 2)))
    assert found["whole"].reach == pytest.approx([12], rel=1e-4)
    assert found["whole"].reach_by_loss == pytest.approx([12], rel=1e-4)
    for site in model.sites:
        is_pushed = found[site.name].alone > 0
        assert is_pushed.any()
        assert found[site.name].reach == pytest.approx(np.where(is_pushed, 12, 0), rel=1e-4)


@pytest.mark.parametrize("strength", [1.0, 60.0])
def test_a_look_up_table_has_reach_1_in_all_its_parts_however_well_it_fits(strength: float) -> None:
    """Each example has its own neuron, tokens and label; at strength 60 its loss is 1e-26."""
    pairs = [(x, x) for x in range(5)]
    lookup = planted.lookup(5, pairs, labels=range(5), strength=strength)
    found = pushes(lookup, made_of(np.array(pairs), np.arange(5)))
    for name in (lookup.sites[0].name, "module"):
        assert found[name].reach == pytest.approx(np.ones(len(found[name].alone)), rel=1e-5)
    assert found["whole"].reach == pytest.approx([1], rel=1e-5)
    assert found["whole"].reach_by_loss == pytest.approx([1], rel=1e-5)
    # W_U: (1 + 4 / 4^2) / 2^2, the runners-up being four; by the slope 2 s the bias, both embeddings and
    # W_in, which reads 2
    assert found["whole"].own_push == pytest.approx([1.25 / 4 + (2 * strength) ** 2 * (1 + 2 + 4)])


def test_k_copies_of_orthogonal_examples_have_reach_k() -> None:
    pairs = np.array([(x, x) for x in range(5)])
    lookup = planted.lookup(5, [(x, x) for x in range(5)], labels=range(5))
    found = pushes(lookup, made_of(np.repeat(pairs, 4, axis=0), np.repeat(np.arange(5), 4)))
    assert found["whole"].reach == pytest.approx([4], rel=1e-5)


def always_on() -> TwoTokenMLP:
    """One neuron that is 1 for every example, a bias shared by all of them, and equal logits."""
    return TwoTokenMLP(
        PairEmbed(jnp.zeros((5, 1)), jnp.zeros((5, 1))),
        Hidden(jnp.ones((1, 1)), jnp.ones(1)),
        Unembed(jnp.zeros((1, 5))),
        combine="summed",
    )


def test_a_bias_that_all_examples_share_has_reach_n() -> None:
    data = made_of(np.argwhere(np.ones((5, 5))), np.zeros(25))
    found = pushes(always_on(), data)
    assert found["mlp.hook_post"].reach == pytest.approx([25])
    assert found["mlp.hook_post"].own_push == pytest.approx([1.25])  # 1 + 4 / 4^2
    assert found["mlp.hook_post"].squared_norm == pytest.approx([2])


def test_examples_that_want_opposite_labels_of_the_same_input_have_reach_0() -> None:
    model = planted.lookup(2, [(0, 0)], labels=[0])
    found = pushes(model, made_of(np.zeros((2, 2)), np.arange(2)))
    assert found["whole"].alone[0] > 0.1
    assert found["whole"].reach == pytest.approx([0], abs=1e-9)


def test_the_order_of_the_examples_and_the_scale_of_p_change_nothing() -> None:
    case = worked("transformer")
    p = load_state_dict(case.model, {n: a.astype(np.float32) for n, a in metric("transformer").items()})
    order, data = np.random.default_rng(1).permutation(25), tiny.observed()
    other = replace(data, **{k: getattr(data, k)[order] for k in ("inputs", "labels", "is_train")})
    one = pushes(case.model, data, preconditioner=p)
    again = pushes(case.model, other, preconditioner=jax.tree.map(lambda a: 3e5 * a, p))
    for name, of in one.items():
        np.testing.assert_allclose(again[name].reach, of.reach, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(again[name].reach_by_loss, of.reach_by_loss, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(again[name].own_push, 3e5 * of.own_push, rtol=1e-4)


def test_examples_in_several_chunks_push_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    table = group_table(Modular(p=5))
    assert table is not None
    some = {"some": of_irreps(worked("transformer").model, table, ["1"])}
    together = found_in("transformer", has_p=True, subspaces=some)
    monkeypatch.setattr("undergrowth.measures.reinforcement.example_gradients.EXAMPLES_AT_ONCE", 4)
    for name, found in found_in("transformer", has_p=True, subspaces=some).items():
        for a, b in zip(found, together[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


def test_the_measure_reads_what_pushes_are_in_the_runs_own_metric() -> None:
    case = worked("transformer")
    at = case.context()
    readings = Reach(irreps=("1",), each_irrep=True).observe(case.model, tiny.observed(), at)
    gradient = {n: g[TRAIN].mean(axis=0) for n, g in case.gradients.items()}
    p = {n: (1 / (np.abs(g) + 1e-8)).astype(np.float32) for n, g in gradient.items()}
    found = pushes(
        case.model,
        tiny.observed(),
        preconditioner=load_state_dict(case.model, p),
        temperature=at.spec.temperature,
    )
    heads = readings["reach_head"]
    assert heads.dims == ("layer", "head")
    assert heads.values[0] == pytest.approx(found["blocks.0.attn.hook_z"].reach, rel=0.02)
    assert readings["reach_whole"].dims == ()
    assert readings["reach_subspace"].coords == {"subspace": ("irreps", "complement")}
    assert readings["reach_irrep"].coords == {"irrep": ("1", "2")}
    assert readings["reach_irrep"].values[0] == readings["reach_subspace"].values[0]
    set_ = set(Reach().scalars)
    assert set_ == {n for n, r in readings.items() if not r.dims}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"optimiser": {"name": "muon"}},
            "measure 'reach': optimiser.name = 'muon' mixes the gradients",
        ),
        (
            {"optimiser": {"name": "adamw", "filter": {"name": "orthogonal_gradient"}}},
            "filter.name = 'orthogonal_gradient' mixes the gradients of different weights, so it has no "
            "P: set preconditioned = false",
        ),
        ({"irreps": ("3",)}, r"irreps = \['3'\]: C5 has no '3': take some of 0, 1, 2"),
        (
            {"task": {"name": "modular", "p": 5, "operation": "x^2+y^2"}, "irreps": ("1",)},
            "needs a task that composes a group",
        ),
    ],
)
def test_a_run_that_it_does_not_fit_is_refused_in_one_line(fields: dict, message: str) -> None:
    own = {name: fields[name] for name in ("irreps",) if name in fields}
    others = {name: value for name, value in fields.items() if name not in own}
    with pytest.raises(SpecError, match=message):
        tiny.spec(measures=[{"name": "curves"}, {"name": "reach", **own}], **others)
    if "optimiser" in fields:
        tiny.spec(measures=[{"name": "curves"}, {"name": "reach", "preconditioned": False}], **others)


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (Directions.spanned("W_E", np.eye(6)), "no parameter 'W_E' in this model: take embed.W_E"),
        (
            Directions.spanned("embed.W_E", np.eye(5)),
            "embed.W_E has 6 rows along axis 0, its directions 5",
        ),
        (Directions.spanned("blocks.0.attn.W_Q", np.eye(2)), r"has shape \[2, 8, 4\], so it has no"),
    ],
)
def test_directions_that_do_not_fit_are_an_error(directions: Directions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pushes(tiny.transformer(), tiny.observed(), subspaces={"some": (directions,)})


def test_an_irrep_that_a_group_has_not_is_an_error() -> None:
    table = group_table(Modular(p=5))
    assert table is not None
    with pytest.raises(ValueError, match="C5 has no irrep '7': take 0, 1, 2"):
        of_irreps(tiny.transformer(), table, ["7"])
