"""Every optimiser against its paper's formula in float64 numpy, and the laws that all of them keep."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import jax
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tests import tiny
from undergrowth.models import load_state_dict, state_dict
from undergrowth.training import engine
from undergrowth.training.optimisers import (
    SGD,
    Adam,
    AdamW,
    AnyOptimiser,
    Constant,
    Cosine,
    GrokfastEMA,
    Muon,
    NoFilter,
    OrthogonalGradient,
    SignSGD,
    has_hyperparam,
    hyperparams,
    reset_moments,
    with_hyperparams,
)

STEPS = 24
RNG = np.random.default_rng(0)
SHAPES = {"W_E": (3, 2), "W_in": (2, 5), "W_out": (5, 2), "W_Q": (2, 3, 2), "b": (4,)}
WEIGHTS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
GRADIENTS = [
    {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    for _ in range(STEPS)
]
HIDDEN = ("W_in", "W_out", "W_Q")

Tree = dict[str, np.ndarray]
Step = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""By hand: the update of one parameter, from t = 1, 2, ..., its gradient and its weights."""

ADAMWS = [
    AdamW(warmup_steps=0),
    AdamW(warmup_steps=5, lr=0.03, betas=(0.9, 0.98), weight_decay=0.5),
    AdamW(warmup_steps=0, lr=0.1, betas=(0.5, 0.7), eps=0.1, weight_decay=0.0),
    AdamW(warmup_steps=30, lr=0.2, betas=(0.0, 0.999), eps=1e-3, weight_decay=2.0),
    AdamW(warmup_steps=0, lr=0.1, weight_decay=1.5, decay_to="init"),
]
ADAMS = [Adam(), Adam(warmup_steps=0, lr=0.05, betas=(0.8, 0.95), eps=1e-2, weight_decay=0.7)]
SGDS = [
    SGD(warmup_steps=0),
    SGD(warmup_steps=5, lr=0.05, momentum=0.9),
    SGD(warmup_steps=0, lr=0.02, momentum=0.5, weight_decay=0.3),
    SGD(warmup_steps=0, lr=0.02, momentum=0.9, weight_decay=0.3, nesterov=True),
]
SIGN_SGDS = [SignSGD(lr=0.01), SignSGD(warmup_steps=0, lr=0.05, weight_decay=0.4)]
MUONS = [
    Muon(warmup_steps=0),
    Muon(lr=0.1, weight_decay=0.5, beta=0.8, ns_steps=3, nesterov=False, adam_lr=0.03),
    Muon(eps=0.1, adam_betas=(0.5, 0.9), adam_weight_decay=0.3),
]
FILTERED = [
    SGD(warmup_steps=0, momentum=0.9, filter=GrokfastEMA(alpha=0.8, lamb=3.0)),
    AdamW(lr=0.01, filter=GrokfastEMA()),
    Adam(lr=0.01, weight_decay=0.1, filter=OrthogonalGradient()),
    Muon(filter=GrokfastEMA(lamb=0.5)),
]
ANNEALED = [
    AdamW(warmup_steps=6, annealing=Cosine(steps=12, final=0.1)),
    SGD(warmup_steps=0, annealing=Cosine(steps=50, final=0.0), filter=GrokfastEMA(alpha=0.5)),
]
EVERY = [*ADAMWS, *ADAMS, *SGDS, *SIGN_SGDS, *MUONS, *FILTERED, *ANNEALED]
KINDS = get_args(get_args(AnyOptimiser)[0])


def named(o: AnyOptimiser) -> str:
    return f"{o.name}-{o.annealing.name}-{o.filter.name}"


every_optimiser = pytest.mark.parametrize("optimiser", EVERY, ids=named)


@partial(jax.jit, static_argnums=0)
def updated(skeleton: AnyOptimiser, gradient: Any, state: Any, weights: Any) -> tuple[Any, Any]:
    """One update by the default hyper-parameters' code: what counts must be in the state."""
    change, state = skeleton.build().update(gradient, state, weights)
    return jax.tree.map(lambda w, c: w + c, weights, change), state


def state_of(optimiser: AnyOptimiser, weights: Any = WEIGHTS) -> Any:
    """The optimiser's state before the first update, strongly typed, as the engine has it."""
    state = optimiser.build().init(jax.tree.map(jax.numpy.asarray, weights))
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), state)


def states_and_weights(optimiser: AnyOptimiser, state: Any, weights: Tree) -> list[tuple[Any, Tree]]:
    """After each of the gradients."""
    path = []
    for gradient in GRADIENTS:
        weights, state = updated(optimiser.skeleton(), gradient, state, weights)
        path.append((state, jax.tree.map(np.asarray, weights)))
    return path


def by_optax(optimiser: AnyOptimiser) -> list[Tree]:
    return [weights for _, weights in states_and_weights(optimiser, state_of(optimiser), WEIGHTS)]


def rate(o: AnyOptimiser, t: int) -> float:
    """What the t-th update is multiplied by."""
    rise = min(t / o.warmup_steps, 1) if o.warmup_steps else 1
    if isinstance(o.annealing, Constant):
        return rise
    share = min(max(t - o.warmup_steps, 0) / o.annealing.steps, 1)
    return rise * (o.annealing.final + (1 - o.annealing.final) * (1 + np.cos(np.pi * share)) / 2)


def adam_direction(betas: tuple[float, float], eps: float) -> Callable[[int, np.ndarray], np.ndarray]:
    """Kingma & Ba 2015, algorithm 1, without its step size."""
    m: Any = 0.0
    v: Any = 0.0

    def direction(t: int, g: np.ndarray) -> np.ndarray:
        nonlocal m, v
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        return m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)

    return direction


def adamw_by_hand(o: AdamW, w0: np.ndarray) -> Step:
    """Loshchilov & Hutter 2019, algorithm 2."""
    direction = adam_direction(o.betas, o.eps)
    end = w0 if o.decay_to == "init" else 0
    return lambda t, g, w: -o.lr * (direction(t, g) + o.weight_decay * (w - end))


def adam_by_hand(o: Adam) -> Step:
    """torch.optim.Adam's documented rule: the decay is in the gradient."""
    direction = adam_direction(o.betas, o.eps)
    return lambda t, g, w: -o.lr * direction(t, g + o.weight_decay * w)


def sgd_by_hand(o: SGD) -> Step:
    """torch.optim.SGD's documented rule, dampening 0."""
    buffer: Any = 0.0

    def step(t: int, g: np.ndarray, w: np.ndarray) -> np.ndarray:
        nonlocal buffer
        g = g + o.weight_decay * w
        buffer = o.momentum * buffer + g
        return -o.lr * (g + o.momentum * buffer if o.nesterov else buffer)

    return step


def sign_sgd_by_hand(o: SignSGD) -> Step:
    return lambda t, g, w: -o.lr * (np.sign(g) + o.weight_decay * w)


def orthogonalised(m: np.ndarray, eps: float, ns_steps: int) -> np.ndarray:
    """Newton-Schulz by singular values: each goes through the quintic, and the vectors stay."""
    u, s, v = np.linalg.svd(m, full_matrices=False)
    s = s / (np.sqrt((m**2).sum(axis=(-2, -1)))[..., None] + eps)
    for _ in range(ns_steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ (s[..., None] * v)


def muon_by_hand(o: Muon) -> Step:
    """Jordan et al. 2024, with moments corrected for their start as in NAdam (Dozat 2016)."""
    m: Any = 0.0

    def step(t: int, g: np.ndarray, w: np.ndarray) -> np.ndarray:
        nonlocal m
        m = o.beta * m + (1 - o.beta) * g
        seen = m / (1 - o.beta**t)
        if o.nesterov:
            ahead = m / (1 - o.beta ** (t + 1))
            seen = o.beta * ahead + (1 - o.beta) * g / (1 - o.beta**t)
        shape = np.sqrt(max(1, w.shape[-1] / w.shape[-2]))
        return -o.lr * (shape * orthogonalised(seen, o.eps, o.ns_steps) + o.weight_decay * w)

    return step


def step_by_hand(o: AnyOptimiser, name: str, w0: np.ndarray) -> Step:
    if isinstance(o, Muon):
        adamw = {"lr": o.adam_lr, "betas": o.adam_betas, "weight_decay": o.adam_weight_decay}
        return muon_by_hand(o) if name in HIDDEN else adamw_by_hand(AdamW(**adamw, eps=o.eps), w0)
    if isinstance(o, AdamW):
        return adamw_by_hand(o, w0)
    if isinstance(o, Adam):
        return adam_by_hand(o)
    return sgd_by_hand(o) if isinstance(o, SGD) else sign_sgd_by_hand(o)


def filter_by_hand(o: AnyOptimiser) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """From (gradient, weights) to the gradient that the rule sees."""
    ema: Any = None

    def grokfast(g: np.ndarray, w: np.ndarray) -> np.ndarray:
        nonlocal ema
        assert isinstance(o.filter, GrokfastEMA)
        ema = g if ema is None else o.filter.alpha * ema + (1 - o.filter.alpha) * g
        return g + o.filter.lamb * ema

    def orthogonal(g: np.ndarray, w: np.ndarray) -> np.ndarray:
        rest = g - (w * g).sum() / (w * w).sum() * w
        return rest * np.sqrt((g * g).sum() / (rest * rest).sum())

    by_hand = {GrokfastEMA: grokfast, OrthogonalGradient: orthogonal, NoFilter: lambda g, w: g}
    return by_hand[type(o.filter)]


def by_hand(o: AnyOptimiser, name: str) -> list[np.ndarray]:
    """The weights of one parameter after each step, in float64."""
    w, path = WEIGHTS[name].astype(np.float64), []
    step, filtered = step_by_hand(o, name, w), filter_by_hand(o)
    for t, gradients in enumerate(GRADIENTS, start=1):
        w = w + rate(o, t) * step(t, filtered(gradients[name].astype(np.float64), w), w)
        path.append(w)
    return path


@every_optimiser
def test_an_optimiser_takes_the_papers_steps(optimiser: AnyOptimiser) -> None:
    path = by_optax(optimiser)
    loose = 10 if isinstance(optimiser, Muon) else 1  # the quintic multiplies rounding by up to 485
    for name in WEIGHTS:
        for step, expected in zip(path, by_hand(optimiser, name), strict=True):
            np.testing.assert_allclose(step[name], expected, rtol=2e-5 * loose, atol=2e-6 * loose)
        assert np.abs(path[-1][name] - WEIGHTS[name]).max() > 1e-3


def test_every_kind_of_optimiser_is_in_the_suite_and_in_the_union() -> None:
    assert {type(optimiser) for optimiser in EVERY} == set(KINDS)
    assert {type(o.filter) for o in EVERY} == {NoFilter, GrokfastEMA, OrthogonalGradient}
    assert {type(o.annealing) for o in EVERY} == {Constant, Cosine}


def test_warm_up_rises_linearly_from_the_first_step() -> None:
    sgd = SGD(warmup_steps=4, lr=1.0)
    path = [WEIGHTS, *by_optax(sgd)]
    sizes = [
        np.abs(after["b"] - before["b"]).max() / np.abs(gradient["b"]).max()
        for before, after, gradient in zip(path[:6], path[1:7], GRADIENTS[:6], strict=True)
    ]
    np.testing.assert_allclose(sizes, [0.25, 0.5, 0.75, 1, 1, 1], rtol=1e-5)


def test_annealing_begins_after_the_warm_up_and_ends_at_its_final_share() -> None:
    sgd = SGD(warmup_steps=4, lr=1.0, annealing=Cosine(steps=8, final=0.1))
    path = [WEIGHTS, *by_optax(sgd)]
    sizes = [
        np.abs(after["W_E"] - before["W_E"]).max() / np.abs(gradient["W_E"]).max()
        for before, after, gradient in zip(path[:-1], path[1:], GRADIENTS, strict=True)
    ]
    np.testing.assert_allclose(sizes[:4], [0.25, 0.5, 0.75, 1], rtol=1e-5)
    assert sizes[7] == pytest.approx(0.55, rel=1e-4)  # half of the way
    np.testing.assert_allclose(sizes[11:], 0.1, rtol=1e-4)
    assert (np.diff(sizes[3:12]) < 0).all()


# What decay does by itself


@pytest.mark.parametrize(
    "optimiser",
    [
        AdamW(warmup_steps=0, lr=0.1, weight_decay=0.5),
        SGD(warmup_steps=0, lr=0.1, weight_decay=0.5),
        SignSGD(warmup_steps=0, lr=0.1, weight_decay=0.5),
        Muon(warmup_steps=0, lr=0.1, weight_decay=0.5, adam_lr=0.1, adam_weight_decay=0.5),
        Muon(warmup_steps=0, lr=0.05, weight_decay=1.0, adam_lr=0.2, adam_weight_decay=0.25),
    ],
    ids=named,
)
def test_without_a_gradient_decay_shrinks_all_weights_by_the_learning_rate_times_itself(
    optimiser: AnyOptimiser,
) -> None:
    none = jax.tree.map(np.zeros_like, WEIGHTS)
    after, _ = updated(optimiser.skeleton(), none, state_of(optimiser), WEIGHTS)
    for name, weight in WEIGHTS.items():
        np.testing.assert_allclose(after[name], weight * (1 - 0.05), rtol=1e-6)


def test_decay_to_init_pulls_to_the_weights_that_training_began_with() -> None:
    optimiser = AdamW(warmup_steps=0, lr=0.1, weight_decay=0.5, decay_to="init")
    none = jax.tree.map(np.zeros_like, WEIGHTS)
    state = state_of(optimiser)
    at_start, state = updated(optimiser.skeleton(), none, state, WEIGHTS)
    away = {name: weight + 1 for name, weight in WEIGHTS.items()}
    nearer, _ = updated(optimiser.skeleton(), none, state, away)
    for name, weight in WEIGHTS.items():
        assert (np.asarray(at_start[name]) == weight).all()
        np.testing.assert_allclose(nearer[name], weight + 0.95, rtol=1e-5)


def test_adams_own_decay_is_divided_by_the_gradients_size_and_adamws_is_not() -> None:
    none = jax.tree.map(np.zeros_like, WEIGHTS)
    adam = Adam(warmup_steps=0, lr=0.1, weight_decay=0.5, eps=1e-12)
    after, _ = updated(adam.skeleton(), none, state_of(adam), WEIGHTS)
    for name, weight in WEIGHTS.items():
        np.testing.assert_allclose(after[name], weight - 0.1 * np.sign(weight), rtol=1e-4, atol=1e-6)


# Muon


def test_muons_step_has_the_momentums_singular_vectors_and_singular_values_near_one() -> None:
    muon = Muon(warmup_steps=0, lr=1.0, weight_decay=0.0)
    after, _ = updated(muon.skeleton(), GRADIENTS[0], state_of(muon), WEIGHTS)
    for name in HIDDEN:
        step = np.asarray(WEIGHTS[name] - after[name], np.float64)
        step /= np.sqrt(max(1, step.shape[-1] / step.shape[-2]))
        u, s, v = np.linalg.svd(GRADIENTS[0][name].astype(np.float64), full_matrices=False)
        assert (s.min(axis=-1) / s.max(axis=-1)).min() > 0.05
        inside = np.swapaxes(u, -1, -2) @ step @ np.swapaxes(v, -1, -2)
        diagonal = np.diagonal(inside, axis1=-2, axis2=-1)
        assert (diagonal > 0.65).all()
        assert (diagonal < 1.25).all()
        off = inside - diagonal[..., None] * np.eye(inside.shape[-1])
        np.testing.assert_allclose(off, 0, atol=1e-4)
        np.testing.assert_allclose(u @ inside @ v, step, atol=1e-4)  # and nothing outside of them


@pytest.mark.parametrize(
    ("made", "hidden"),
    [
        (
            tiny.transformer,
            {
                *(f"blocks.0.attn.W_{matrix}" for matrix in "QKVO"),
                "blocks.0.mlp.W_in",
                "blocks.0.mlp.W_out",
            },
        ),
        (tiny.mlp, {"mlp.W_in"}),
    ],
    ids=["transformer", "mlp"],
)
def test_muon_takes_the_hidden_matrices_of_a_model_and_adamw_the_rest(
    made: Any, hidden: set[str]
) -> None:
    model = made()
    names = set(state_dict(state_of(Muon(), model)))
    muons = {name.split(".mu.")[1] for name in names if ".muon." in name and ".mu." in name}
    adams = {name.split(".mu.")[1] for name in names if ".adamw." in name and ".mu." in name}
    assert muons == hidden
    assert adams == set(state_dict(model)) - hidden


def test_muon_treats_each_head_as_a_matrix_of_its_own() -> None:
    muon = Muon(warmup_steps=0, lr=1.0, weight_decay=0.0)
    scaled = {**GRADIENTS[0], "W_Q": GRADIENTS[0]["W_Q"] * np.array([1, 100], np.float32)[:, None, None]}
    one, _ = updated(muon.skeleton(), GRADIENTS[0], state_of(muon), WEIGHTS)
    other, _ = updated(muon.skeleton(), scaled, state_of(muon), WEIGHTS)
    np.testing.assert_allclose(one["W_Q"], other["W_Q"], atol=1e-5)


# Filters


def test_grokfast_makes_a_lasting_gradient_one_plus_lamb_times_as_large_from_the_first_step() -> None:
    sgd = SGD(warmup_steps=0, lr=1.0, filter=GrokfastEMA(alpha=0.9, lamb=2.0))
    state, weights = state_of(sgd), WEIGHTS
    for _ in range(3):
        after, state = updated(sgd.skeleton(), GRADIENTS[0], state, weights)
        for name, gradient in GRADIENTS[0].items():
            np.testing.assert_allclose(weights[name] - after[name], 3 * gradient, rtol=1e-4, atol=1e-5)
        weights = after


def test_an_orthogonal_gradient_has_its_old_norm_and_nothing_along_the_weights() -> None:
    sgd = SGD(warmup_steps=0, lr=1.0, filter=OrthogonalGradient())
    for size in (1.0, 1e-25):  # the exact loss has gradients whose squares are zero in float32
        gradient = {name: g * np.float32(size) for name, g in GRADIENTS[0].items()}
        change, _ = jax.jit(sgd.build().update)(gradient, state_of(sgd), WEIGHTS)
        for name, weight in WEIGHTS.items():
            left = -np.asarray(change[name], np.float64) / size
            assert np.linalg.norm(left) == pytest.approx(np.linalg.norm(GRADIENTS[0][name]), rel=1e-5)
            assert abs((left * weight).sum()) < 1e-5 * np.linalg.norm(left) * np.linalg.norm(weight)


def test_an_orthogonal_gradient_of_zero_weights_is_the_gradient_and_of_a_parallel_one_is_zero() -> None:
    sgd = SGD(warmup_steps=0, lr=1.0, filter=OrthogonalGradient())
    zeros = jax.tree.map(np.zeros_like, WEIGHTS)
    step = jax.jit(sgd.build().update)
    kept, _ = step(GRADIENTS[0], state_of(sgd), zeros)
    parallel, _ = step({name: 3 * w for name, w in WEIGHTS.items()}, state_of(sgd), WEIGHTS)
    none, _ = step(zeros, state_of(sgd), WEIGHTS)
    for name, gradient in GRADIENTS[0].items():
        np.testing.assert_allclose(kept[name], -gradient, rtol=1e-6)
        assert (np.asarray(parallel[name]) == 0).all()
        assert (np.asarray(none[name]) == 0).all()


# What is traced


@every_optimiser
def test_a_skeleton_builds_the_same_state_and_is_its_own_skeleton(optimiser: AnyOptimiser) -> None:
    skeleton = optimiser.skeleton()
    assert skeleton.skeleton() == skeleton
    assert hash(skeleton) == hash(skeleton.skeleton())
    mine, its = (optimiser.build().init(WEIGHTS), skeleton.build().init(WEIGHTS))
    assert jax.tree.structure(mine) == jax.tree.structure(its)
    for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(its), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


@every_optimiser
def test_hyper_parameters_are_in_the_traced_state_by_their_names(optimiser: AnyOptimiser) -> None:
    found = hyperparams(state_of(optimiser))
    expected: dict[str, float] = {"learning_rate": optimiser.lr, "weight_decay": optimiser.weight_decay}
    if isinstance(optimiser, Adam | AdamW):
        expected |= {"b1": optimiser.betas[0], "b2": optimiser.betas[1], "eps": optimiser.eps}
    if isinstance(optimiser, SGD):
        expected |= {"momentum": optimiser.momentum}
    if isinstance(optimiser, Muon):
        expected |= {
            "beta": optimiser.beta,
            "adam_learning_rate": optimiser.adam_lr,
            "adam_weight_decay": optimiser.adam_weight_decay,
            "adam_b1": optimiser.adam_betas[0],
        }
    if isinstance(optimiser.filter, GrokfastEMA):
        expected |= {"alpha": optimiser.filter.alpha, "lamb": optimiser.filter.lamb}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert all(has_hyperparam(optimiser, name) for name in found)


def test_what_an_optimiser_has_not_is_known() -> None:
    assert has_hyperparam(SGD(), "momentum")
    assert not has_hyperparam(AdamW(), "momentum")
    assert not has_hyperparam(AdamW(), "lamb")
    assert has_hyperparam(AdamW(filter=GrokfastEMA()), "lamb")
    for kind in KINDS:
        assert has_hyperparam(kind(), "learning_rate")
        assert has_hyperparam(kind(), "weight_decay")


@every_optimiser
def test_with_no_learning_rate_no_weight_moves(optimiser: AnyOptimiser) -> None:
    still = with_hyperparams(state_of(optimiser), {"learning_rate": lambda lr: 0.0})
    _, weights = states_and_weights(optimiser, still, WEIGHTS)[-1]
    for name, weight in WEIGHTS.items():
        assert (weights[name] == weight).all()


@every_optimiser
def test_changing_a_hyper_parameter_is_having_had_it_from_the_start(optimiser: AnyOptimiser) -> None:
    """So no default is compiled in: the same path, to the bit."""
    fields = {"lr": 0.5 * optimiser.lr, "weight_decay": 0.25}
    if isinstance(optimiser, Muon):
        fields |= {"adam_lr": 0.5 * optimiser.adam_lr, "adam_weight_decay": 0.25}
    other = optimiser.model_copy(update=fields)
    change = {"learning_rate": lambda lr: 0.5 * lr, "weight_decay": lambda decay: 0.25}
    changed = with_hyperparams(state_of(optimiser), change)
    for (_, mine), (_, its) in zip(
        states_and_weights(optimiser, changed, WEIGHTS),
        states_and_weights(other, state_of(other), WEIGHTS),
        strict=True,
    ):
        assert all((mine[name] == its[name]).all() for name in WEIGHTS)


@every_optimiser
def test_a_change_leaves_all_else_alone_and_the_types_too(optimiser: AnyOptimiser) -> None:
    state = state_of(optimiser)
    changed = with_hyperparams(state, {"weight_decay": lambda decay: decay + 1})
    assert jax.tree.structure(changed) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(changed), strict=True):
        assert (old.shape, old.dtype, old.weak_type) == (new.shape, new.dtype, new.weak_type)
    before, after = state_dict(state), state_dict(changed)
    differing = {name.split(".")[-1] for name in before if (before[name] != after[name]).any()}
    muons = {"adam_weight_decay"} if isinstance(optimiser, Muon) else set()
    assert differing == {"weight_decay"} | muons


def test_muons_second_rate_follows_the_first_unless_it_is_named() -> None:
    state = state_of(Muon(lr=0.1, adam_lr=0.01))
    both = hyperparams(with_hyperparams(state, {"learning_rate": lambda lr: 3 * lr}))
    assert both["learning_rate"] == pytest.approx(0.3)
    assert both["adam_learning_rate"] == pytest.approx(0.03)
    apart = with_hyperparams(
        state, {"learning_rate": lambda lr: 3 * lr, "adam_learning_rate": lambda lr: 0.5}
    )
    assert hyperparams(apart)["adam_learning_rate"] == 0.5
    alone = hyperparams(with_hyperparams(state, {"adam_learning_rate": lambda lr: 0.5}))
    assert alone["learning_rate"] == pytest.approx(0.1)


def test_a_name_that_the_optimiser_has_not_is_an_error_that_says_what_it_has() -> None:
    message = (
        "'mu' is no hyper-parameter of this optimiser: take learning_rate, momentum or weight_decay"
    )
    with pytest.raises(ValueError, match=message):
        with_hyperparams(state_of(SGD()), {"mu": lambda value: value})


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


# Forgetting, storing, refusing


@every_optimiser
def test_resetting_moments_zeroes_all_memory_of_gradients_and_nothing_else(
    optimiser: AnyOptimiser,
) -> None:
    state, _ = states_and_weights(optimiser, state_of(optimiser), WEIGHTS)[9]
    forgetful, before = reset_moments(state), state_dict(state)
    assert jax.tree.structure(forgetful) == jax.tree.structure(state)
    memory = {"mu", "nu", "trace", "ema", "seen"}
    for name, array in state_dict(forgetful).items():
        assert array.dtype == before[name].dtype
        if memory.intersection(name.split(".")):
            assert (array == 0).all()
        elif "inner_state" not in name or "count" not in name:  # but those of bias corrections
            assert (array == before[name]).all(), name


@pytest.mark.parametrize(
    "optimiser",
    [
        AdamW(warmup_steps=0, filter=GrokfastEMA()),
        Adam(warmup_steps=0, weight_decay=0.1),
        SGD(warmup_steps=0, momentum=0.9, nesterov=True),
        SignSGD(warmup_steps=0),
        Muon(warmup_steps=0),
    ],
    ids=named,
)
def test_with_its_moments_reset_an_optimiser_goes_on_like_a_new_one(optimiser: AnyOptimiser) -> None:
    state, weights = states_and_weights(optimiser, state_of(optimiser), WEIGHTS)[9]
    _, forgetful = states_and_weights(optimiser, reset_moments(state), weights)[-1]
    _, new = states_and_weights(optimiser, state_of(optimiser, weights), weights)[-1]
    assert all((forgetful[name] == new[name]).all() for name in WEIGHTS)


def test_warm_up_annealing_and_initial_weights_outlive_a_reset() -> None:
    optimiser = AdamW(warmup_steps=3, lr=0.1, betas=(0, 0), annealing=Cosine(steps=10), decay_to="init")
    path = states_and_weights(optimiser, state_of(optimiser), WEIGHTS)
    state, weights = path[5]
    kept, _ = updated(optimiser.skeleton(), GRADIENTS[6], state, weights)
    reset, _ = updated(optimiser.skeleton(), GRADIENTS[6], reset_moments(state), weights)
    for name in WEIGHTS:  # without moments to forget, a reset changes nothing
        np.testing.assert_allclose(kept[name], reset[name], rtol=1e-6)


@every_optimiser
@pytest.mark.parametrize("made", [tiny.transformer, tiny.mlp])
def test_the_state_of_a_models_optimiser_comes_back_by_unique_names(
    optimiser: AnyOptimiser, made: Any
) -> None:
    state = state_of(optimiser, made())
    arrays = state_dict(state)
    assert len(arrays) == len(jax.tree.leaves(state))
    marked = {name: np.full_like(array, i) for i, (name, array) in enumerate(arrays.items())}
    back = state_dict(load_state_dict(state, marked))
    assert all((back[name] == marked[name]).all() for name in arrays)


@pytest.mark.parametrize("optimiser", [MUONS[1], FILTERED[2], ANNEALED[1], ADAMWS[-1]], ids=named)
def test_the_engine_trains_with_it(optimiser: AnyOptimiser) -> None:
    spec = tiny.spec(steps=3, optimiser=optimiser, model=tiny.TRANSFORMER, checkpoints={"every": 9})
    *_, (_, saved) = engine.train([spec], [None])
    assert isinstance(saved, engine.Saved)
    before, after = state_dict(engine.initial(spec).state), state_dict(saved.snapshot.state)
    assert before.keys() == after.keys()
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert {name for name in before if name.startswith("model.")} <= moved | {"model.embed.W_E"}
    assert all(np.isfinite(array).all() for array in after.values())


@every_optimiser
def test_an_optimiser_is_plain_data_and_back(optimiser: AnyOptimiser) -> None:
    adapter = TypeAdapter(AnyOptimiser)
    assert adapter.validate_python(optimiser.model_dump(mode="json")) == optimiser


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AdamW, {"lr": 0}),
        (AdamW, {"lr": -1}),
        (AdamW, {"betas": (1.0, 0.9)}),
        (AdamW, {"weight_decay": -0.1}),
        (AdamW, {"eps": 0}),
        (AdamW, {"decay_to": "one"}),
        (Adam, {"decay_to": "init"}),
        (SGD, {"momentum": 1.0}),
        (SignSGD, {"momentum": 0.9}),
        (Muon, {"beta": 1.0}),
        (Muon, {"ns_steps": 0}),
        (GrokfastEMA, {"alpha": 1.0}),
        (GrokfastEMA, {"lamb": -1.0}),
        (Cosine, {"steps": 0}),
        (Cosine, {"final": 1.1}),
    ],
)
def test_impossible_hyper_parameters_are_refused(kind: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind(**fields)
