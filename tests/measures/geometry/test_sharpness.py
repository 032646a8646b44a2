from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.sparse.linalg import eigsh

from tests import tiny
from undergrowth.measures import Context, Observed, Reading, Sharpness
from undergrowth.measures.geometry.sharpness import lanczos
from undergrowth.measures.geometry.stability import edge
from undergrowth.models import Model, TwoTokenMLP, load_state_dict, state_dict
from undergrowth.spec import SpecError
from undergrowth.training.optimisers import AnyOptimiser

Vectors = dict[str, np.ndarray]


def gradient(weights: Vectors, data: Observed) -> Vectors:
    """Of the mean training loss of the two-token MLP, by hand in float64."""
    side = np.asarray(data.is_train)
    (x, y), labels = np.asarray(data.inputs)[side].T, np.asarray(data.labels)[side]
    pair = np.concatenate([weights["embed.W_x"][x], weights["embed.W_y"][y]], axis=1)
    pre = pair @ weights["mlp.W_in"] + weights["mlp.b_in"]
    post = pre * (pre > 0)
    p = np.exp(post @ weights["unembed.W_U"])
    at_logits = (p / p.sum(axis=1, keepdims=True) - np.eye(5)[labels]) / len(labels)
    at_pre = at_logits @ weights["unembed.W_U"].T * (pre > 0)
    of_x, of_y = np.split(at_pre @ weights["mlp.W_in"].T, 2, axis=1)
    return {
        "embed.W_x": np.eye(5)[x].T @ of_x,
        "embed.W_y": np.eye(5)[y].T @ of_y,
        "mlp.W_in": pair.T @ at_pre,
        "mlp.b_in": at_pre.sum(axis=0),
        "unembed.W_U": post.T @ at_logits,
    }


def flat(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays.values()])


def hessian(model: Model, data: Observed, h: float = 1e-6) -> np.ndarray:
    """By central differences of the gradient."""
    weights = {name: np.asarray(array, np.float64) for name, array in state_dict(model).items()}
    rows = []
    for name, array in weights.items():
        for i in np.ndindex(array.shape):
            ends = []
            for by in (h, -h):
                changed = {**weights, name: array.copy()}
                changed[name][i] += by
                ends.append(flat(gradient(changed, data)))
            rows.append((ends[0] - ends[1]) / (2 * h))
    return (np.array(rows) + np.array(rows).T) / 2


def readings_of(model: Model, at: Context, **fields: Any) -> dict[str, Reading]:
    return dict(Sharpness(**fields).observe(model, tiny.observed(), at))


def test_eigenvalues_are_those_of_the_hessian(mlp: TwoTokenMLP, observed: Observed) -> None:
    expected = np.linalg.eigvalsh(hessian(mlp, observed))
    readings = readings_of(mlp, tiny.context(mlp), n_eigenvalues=3, n_products=60)
    np.testing.assert_allclose(readings["sharpness"].values, expected[-1], rtol=1e-5)
    np.testing.assert_allclose(readings["sharpness_eigenvalues"].values, expected[:-4:-1], rtol=1e-5)
    np.testing.assert_allclose(readings["sharpness_lowest"].values, expected[0], rtol=1e-4)
    assert (readings["sharpness_residual"].values < 1e-4).all()
    assert "sharpness_edge_ratio" not in readings  # AdamW has none in this metric


def test_preconditioned_it_is_the_hessian_in_adams_metric(mlp: TwoTokenMLP, observed: Observed) -> None:
    rng, t = np.random.default_rng(0), 7
    nu = {name: 10 ** rng.uniform(-6, -2, a.shape) for name, a in state_dict(mlp).items()}
    at = tiny.context(mlp, optimiser={"name": "adam", "lr": 0.01, "weight_decay": 0.3})
    at = with_moments(at, load_state_dict(mlp, _float32(nu)), t)
    P = (1 - 0.9**t) * (np.sqrt(flat(nu) / (1 - 0.98**t)) + 1e-8)
    H = hessian(mlp, observed) + 0.3 * np.eye(len(P))  # Adam's decay is part of its gradient
    expected = np.linalg.eigvalsh(H / np.sqrt(np.outer(P, P)))
    readings = readings_of(mlp, at, preconditioned=True, n_products=80)
    np.testing.assert_allclose(readings["preconditioned_sharpness"].values, expected[-1], rtol=1e-4)
    warm_up = 1 / 10
    at_edge = 2 * (1 + 0.9) / ((1 - 0.9) * 0.01 * warm_up)
    ratio = readings["preconditioned_sharpness_edge_ratio"].values
    np.testing.assert_allclose(ratio, expected[-1] / at_edge, rtol=1e-4)


def test_before_the_first_update_the_metric_is_that_of_the_first_gradient(
    mlp: TwoTokenMLP, observed: Observed
) -> None:
    at = tiny.context(mlp, optimiser={"name": "adamw", "eps": 1e-3})
    slope = gradient({n: np.asarray(a, np.float64) for n, a in state_dict(mlp).items()}, observed)
    P = 0.1 * (np.abs(flat(slope)) + 1e-3)
    expected = np.linalg.eigvalsh(hessian(mlp, observed) / np.sqrt(np.outer(P, P)))[-1]
    found = readings_of(mlp, at, preconditioned=True, n_products=80)["preconditioned_sharpness"]
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)


SPECTRUM = np.concatenate([np.linspace(-2, 3, 60), [5, 8, 8.5, 20]])


def test_lanczos_finds_the_ends_of_a_known_spectrum_as_another_library_does() -> None:
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.standard_normal((64, 64)))
    A = Q * SPECTRUM @ Q.T
    values, residuals = lanczos(lambda v: A @ v, rng.standard_normal(64), 40)
    np.testing.assert_allclose(values[-4:], SPECTRUM[-4:], rtol=1e-8)
    np.testing.assert_allclose(values[0], -2, rtol=1e-3)
    others = eigsh(A, 4, which="LA")[0]
    np.testing.assert_allclose(values[-4:], np.sort(others), rtol=1e-8)
    distance = np.abs(values[:, None] - SPECTRUM).min(axis=1)
    assert (distance <= residuals + 1e-9).all()


@pytest.mark.parametrize("n_products", [3, 6, 12])
def test_ritz_values_approach_the_ends_from_within_and_say_how_near_they_are(n_products: int) -> None:
    start = np.random.default_rng(1).standard_normal(64)
    values, residuals = lanczos(lambda v: SPECTRUM * v, start, n_products)
    assert len(values) == n_products
    assert SPECTRUM[0] < values[0] < values[-1] < SPECTRUM[-1] + 1e-9
    assert (np.abs(values[:, None] - SPECTRUM).min(axis=1) <= residuals + 1e-9).all()


def test_lanczos_ends_where_its_span_does() -> None:
    values, residuals = lanczos(lambda v: np.array([1.0, 1.0, 4.0]) * v, np.ones(3), 10)
    np.testing.assert_allclose(values, [1, 4])
    np.testing.assert_allclose(residuals, 0, atol=1e-12)


def test_eigenvalues_that_a_loss_has_not_are_nan() -> None:
    arrays = {name: np.zeros_like(array) for name, array in state_dict(tiny.mlp()).items()}
    blank = load_state_dict(tiny.mlp(), arrays)
    found = readings_of(blank, tiny.context(blank), n_eigenvalues=3)
    np.testing.assert_array_equal(found["sharpness_eigenvalues"].values, [0, np.nan, np.nan])


def test_a_model_that_has_diverged_has_no_sharpness() -> None:
    arrays = {name: np.full_like(array, np.nan) for name, array in state_dict(tiny.mlp()).items()}
    diverged = load_state_dict(tiny.mlp(), arrays)
    found = readings_of(diverged, tiny.context(diverged))
    assert all(np.isnan(reading.values).all() for reading in found.values())


EPS = 100.0
"""So large that Adam divides by it alone, and its metric stands still."""
ADAM = {"lr": 0.1, "betas": (0.9, 0.98), "eps": EPS}


@pytest.mark.parametrize(
    "optimiser",
    [
        {"name": "sgd", "lr": 0.1},
        {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
        {"name": "sgd", "lr": 0.1, "momentum": 0.5, "weight_decay": 3.0},
        {"name": "adam", **ADAM},
        {"name": "adam", **ADAM, "weight_decay": 2000.0},
        {"name": "adamw", **ADAM, "weight_decay": 0.0},
        {"name": "adamw", **ADAM, "weight_decay": 4.0},
    ],
    ids=lambda o: "-".join(str(v) for k, v in o.items() if k not in ("eps", "betas", "lr")),
)
def test_a_quadratic_is_descended_just_below_the_edge_and_not_just_above(
    optimiser: dict[str, Any],
) -> None:
    at = tiny.context(tiny.mlp(), optimiser={**optimiser, "warmup_steps": 0})
    known = edge(at)
    assert known is not None
    if optimiser["name"].startswith("adam"):
        known *= EPS
    ridge = optimiser.get("weight_decay", 0) if optimiser["name"] == "adam" else 0
    assert grown(at.spec.optimiser, 0.98 * known - ridge) < 1e-2
    assert grown(at.spec.optimiser, 1.02 * known - ridge) > 1e2


def grown(optimiser: AnyOptimiser, curvature: float) -> float:
    """By what factor 2,000 updates multiply a weight whose loss is curvature * w^2 / 2."""
    return float(descended(optimiser, jnp.float32(curvature)) / 1e-12)


@partial(jax.jit, static_argnums=0)
def descended(optimiser: AnyOptimiser, curvature: jax.Array) -> jax.Array:
    tx, start = optimiser.build(), jnp.full((), 1e-12)

    def step(carry: Any, _: None) -> tuple[Any, jax.Array]:
        w, state = carry
        change, state = tx.update(curvature * w, state, w)
        return (w + change, state), jnp.abs(w)

    sizes = jax.lax.scan(step, (start, tx.init(start)), length=2000)[1][-50:]
    return jnp.nan_to_num(sizes, nan=jnp.inf).max()


def test_the_edge_follows_warm_up_and_what_is_no_such_optimiser_has_none() -> None:
    def edge_of(**optimiser: Any) -> float | None:
        return edge(tiny.context(tiny.mlp(), optimiser=optimiser))

    assert edge_of(name="sgd", lr=0.1, warmup_steps=4) == pytest.approx(2 / (0.1 / 4), rel=1e-6)
    assert edge_of(name="sign_sgd") is None
    assert edge_of(name="sgd", filter={"name": "grokfast_ema"}) is None


def test_a_preconditioner_is_refused_where_there_is_none() -> None:
    measures = [{"name": "curves"}, {"name": "sharpness", "preconditioned": True}]
    with pytest.raises(SpecError, match=r"optimiser.name = 'sgd' lacks: set preconditioned = false"):
        tiny.spec(optimiser={"name": "sgd"}, measures=measures)
    with pytest.raises(ValueError, match="n_products = 5 give at most as many eigenvalues"):
        Sharpness(n_eigenvalues=6, n_products=5)


def with_moments(at: Context, nu: Model, t: int) -> Context:
    """The context after t updates that left such mean squared gradients."""

    def is_adam(node: object) -> bool:
        return isinstance(node, optax.ScaleByAdamState)

    def replaced(node: Any) -> Any:
        return node._replace(count=jnp.asarray(t), nu=nu) if is_adam(node) else node

    opt_state = jax.tree.map(replaced, at.state.opt_state, is_leaf=is_adam)
    return replace(at, state=at.state.replace(opt_state=opt_state))


def _float32(arrays: Vectors) -> Vectors:
    return {name: array.astype(np.float32) for name, array in arrays.items()}
