"""optax's arithmetic against the papers' formulas in float64 numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from pydantic import ValidationError

from tests import tiny
from undergrowth.training import engine
from undergrowth.training.interventions import hyperparams
from undergrowth.training.optimisers import SGD, AdamW, AnyOptimiser

STEPS = 12
RNG = np.random.default_rng(0)
WEIGHTS = {"W": RNG.normal(size=(3, 2)).astype(np.float32), "b": RNG.normal(size=4).astype(np.float32)}
GRADIENTS = [
    {name: RNG.normal(size=w.shape).astype(np.float32) for name, w in WEIGHTS.items()}
    for _ in range(STEPS)
]

ADAMWS = [
    AdamW(warmup_steps=0),
    AdamW(warmup_steps=5, lr=0.03, betas=(0.9, 0.98), weight_decay=0.5),
    AdamW(warmup_steps=0, lr=0.1, betas=(0.5, 0.7), eps=0.1, weight_decay=0.0),
    AdamW(warmup_steps=20, lr=0.2, betas=(0.0, 0.999), eps=1e-3, weight_decay=2.0),
]
SGDS = [
    SGD(warmup_steps=0),
    SGD(warmup_steps=5, lr=0.05, momentum=0.9),
    SGD(warmup_steps=0, lr=0.02, momentum=0.5, weight_decay=0.3),
]


@partial(jax.jit, static_argnums=0)
def updated(skeleton: AnyOptimiser, gradient: Any, state: Any, weights: Any) -> tuple[Any, Any]:
    """One update by the default hyper-parameters' code: what counts must be in the state."""
    change, state = skeleton.build().update(gradient, state, weights)
    return jax.tree.map(lambda w, c: w + c, weights, change), state


def by_optax(optimiser: AnyOptimiser) -> list[dict[str, np.ndarray]]:
    weights: Any = WEIGHTS
    state = jax.tree.map(jax.numpy.asarray, optimiser.build().init(weights))
    path = []
    for gradient in GRADIENTS:
        weights, state = updated(optimiser.skeleton(), gradient, state, weights)
        path.append({name: np.asarray(w, np.float64) for name, w in weights.items()})
    return path


def warmed(optimiser: AnyOptimiser, t: int) -> float:
    """The learning rate of the t-th update, t = 1, 2, ..."""
    return optimiser.lr * (min(t / optimiser.warmup_steps, 1) if optimiser.warmup_steps else 1)


def adamw_by_hand(o: AdamW, name: str) -> list[np.ndarray]:
    """Loshchilov & Hutter 2019, algorithm 2."""
    w, m, v, path = WEIGHTS[name].astype(np.float64), 0.0, 0.0, []
    for t, gradient in enumerate((g[name].astype(np.float64) for g in GRADIENTS), start=1):
        m = o.betas[0] * m + (1 - o.betas[0]) * gradient
        v = o.betas[1] * v + (1 - o.betas[1]) * gradient**2
        m_hat, v_hat = m / (1 - o.betas[0] ** t), v / (1 - o.betas[1] ** t)
        w = w - warmed(o, t) * (m_hat / (np.sqrt(v_hat) + o.eps) + o.weight_decay * w)
        path.append(w)
    return path


def sgd_by_hand(o: SGD, name: str) -> list[np.ndarray]:
    """torch.optim.SGD's documented rule, dampening 0."""
    w, buffer, path = WEIGHTS[name].astype(np.float64), 0.0, []
    for t, gradient in enumerate((g[name].astype(np.float64) for g in GRADIENTS), start=1):
        buffer = o.momentum * buffer + gradient + o.weight_decay * w
        w = w - warmed(o, t) * buffer
        path.append(w)
    return path


@pytest.mark.parametrize("optimiser", ADAMWS, ids=repr)
def test_adamw_takes_the_papers_steps(optimiser: AdamW) -> None:
    path = by_optax(optimiser)
    for name in WEIGHTS:
        for step, by_hand in zip(path, adamw_by_hand(optimiser, name), strict=True):
            np.testing.assert_allclose(step[name], by_hand, rtol=2e-5, atol=2e-6)
    assert np.abs(path[-1]["W"] - WEIGHTS["W"]).max() > 1e-3


@pytest.mark.parametrize("optimiser", SGDS, ids=repr)
def test_sgd_takes_the_documented_steps(optimiser: SGD) -> None:
    path = by_optax(optimiser)
    for name in WEIGHTS:
        for step, by_hand in zip(path, sgd_by_hand(optimiser, name), strict=True):
            np.testing.assert_allclose(step[name], by_hand, rtol=2e-5, atol=2e-6)


def test_warm_up_rises_linearly_from_the_first_step() -> None:
    sgd = SGD(warmup_steps=4, lr=1.0)
    path = [WEIGHTS, *by_optax(sgd)]
    sizes = [
        np.abs(after["b"] - before["b"]).max() / np.abs(gradient["b"]).max()
        for before, after, gradient in zip(path[:6], path[1:7], GRADIENTS[:6], strict=True)
    ]
    np.testing.assert_allclose(sizes, [0.25, 0.5, 0.75, 1, 1, 1], rtol=1e-5)


@pytest.mark.parametrize("optimiser", [ADAMWS[1], SGDS[1]], ids=["adamw", "sgd"])
def test_hyper_parameters_are_in_the_traced_state(optimiser: AnyOptimiser) -> None:
    found = hyperparams(optimiser.build().init(WEIGHTS))
    assert found["learning_rate"] == pytest.approx(optimiser.lr)
    assert found["weight_decay"] == pytest.approx(optimiser.weight_decay)
    if isinstance(optimiser, AdamW):
        assert (found["b1"], found["b2"]) == pytest.approx(optimiser.betas)
        assert found["eps"] == pytest.approx(optimiser.eps)
    else:
        assert found["momentum"] == pytest.approx(optimiser.momentum)


def test_runs_that_differ_in_hyper_parameters_share_one_compiled_step() -> None:
    compiled: Any = vars(engine)["_advance"]

    def trained(**fields: Any) -> int:
        for _ in engine.train(
            [tiny.spec(measures=[{"name": "curves", "schedule": tiny.EVERY_10}], **fields)], [None]
        ):
            pass
        return compiled._cache_size()

    before = trained()
    other = {"name": "adamw", "lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 3.0}
    faster = [{"trigger": {"name": "at_step", "step": 5}, "action": {"name": "no_op"}}]
    assert trained(optimiser=other, seeds={"model": 5}, interventions=faster) == before
    assert trained(loss="cross_entropy_float32") == before + 1  # so the count can grow


@pytest.mark.parametrize(
    "fields", [{"lr": 0}, {"lr": -1}, {"betas": (1.0, 0.9)}, {"weight_decay": -0.1}, {"eps": 0}]
)
def test_impossible_hyper_parameters_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AdamW(**fields)
