"""Irreps of S3 in a network against sums over permutations, and against logits that are characters."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, planted, tiny
from undergrowth.measures import Fourier, Observed, Representations
from undergrowth.models import Model, TwoTokenMLP, state_dict
from undergrowth.spec import SpecError
from undergrowth.tasks import Group, LeakyRandom, Modular, Operation, make_data

S3 = Group(group="S3")
ELEMENTS = list(permutations(range(3)))
NAMES = ("(2,1)", "(1,1,1)")
DIMENSIONS = {"(2,1)": 2, "(1,1,1)": 1}
PAIRS = [(a, b) for a in range(6) for b in range(6)]
DATA = make_data(S3, LeakyRandom(frac_train=0.6), "true", seed=1)


def character(name: str, g: tuple[int, ...]) -> float:
    """Fixed points less one, or the sign."""
    fixed = sum(g[i] == i for i in range(3))
    return fixed - 1 if name == "(2,1)" else {3: 1, 1: -1, 0: 1}[fixed]


def product(g: tuple[int, ...], h: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(g[h[i]] for i in range(3))


def inverse(g: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(g.index(i) for i in range(3))


def traces(name: str) -> np.ndarray:
    """tr rho(a b c^-1) [pair, c]."""
    return np.array(
        [
            [character(name, product(product(ELEMENTS[a], ELEMENTS[b]), inverse(c))) for c in ELEMENTS]
            for a, b in PAIRS
        ],
        float,
    )


def projector(name: str) -> np.ndarray:
    """(d / n) sum_g chi(g^-1) g on functions on the group: [element, element]."""
    return np.array(
        [
            [DIMENSIONS[name] / 6 * character(name, product(x, inverse(h))) for h in ELEMENTS]
            for x in ELEMENTS
        ]
    )


def loss(logits: np.ndarray, where: np.ndarray | slice = slice(None)) -> float:
    return -brute_force.score("log_prob", logits[where], DATA.labels[where]).mean()


def observe(
    model: Model, task: Operation = S3, data: Observed | None = None, **fields: Any
) -> dict[str, np.ndarray]:
    at = tiny.context(tiny.mlp(), task=task.model_dump())
    found = Representations(**fields).observe(model, data or Observed.of(DATA), at)
    return {name.removeprefix("representations_"): r.values for name, r in found.items()}


@pytest.fixture(scope="module")
def drawn() -> tuple[TwoTokenMLP, np.ndarray, np.ndarray]:
    """A network with random weights, its logits and its activations over all pairs."""
    model = tiny.made(tiny.MLP, 6, 6)
    kept: dict[str, np.ndarray] = {}
    logits = brute_force.mlp(state_dict(model), np.array(PAIRS), keep=kept)
    return model, logits, kept["post"]


def test_logits_and_losses_are_those_of_sums_over_permutations(drawn: Any) -> None:
    model, logits, _ = drawn
    centred = logits - logits.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    components = {}
    for name in NAMES:
        unit = traces(name) / np.linalg.norm(traces(name))
        components[name] = (unit * logits).sum() * unit
    similarity = [(components[n] * traces(n)).sum() / 6**1.5 / np.linalg.norm(centred) for n in NAMES]
    for keys in (("(2,1)",), NAMES):
        found = observe(model, key_irreps=keys)
        np.testing.assert_allclose(found["logit_similarity"], similarity, atol=1e-5)
        of_keys = sum(components[name] for name in keys)
        restricted = of_keys + logits.mean(axis=0)
        assert found["restricted_loss"] == pytest.approx(loss(restricted), rel=1e-4)
        assert found["restricted_train_loss"] == pytest.approx(loss(restricted, DATA.is_train), rel=1e-4)
        assert found["restricted_val_loss"] == pytest.approx(loss(restricted, DATA.is_val), rel=1e-4)
        excluded = loss(logits - of_keys, DATA.is_train)
        assert found["excluded_loss"] == pytest.approx(excluded, rel=1e-4)
        each = [loss(logits - components[name], DATA.is_train) for name in NAMES]
        np.testing.assert_allclose(found["excluded_loss_by_irrep"], each, rtol=1e-4)
        assert found["key"].tolist() == [float(name in keys) for name in NAMES]


def test_weights_and_neurons_are_projected_by_the_characters(drawn: Any) -> None:
    model, logits, post = drawn
    found = observe(model)
    w = brute_force.in_float64(state_dict(model))
    matrices = [w["embed.W_x"], w["embed.W_y"], w["unembed.W_U"].T]
    power = [[((projector(name) @ matrix) ** 2).sum() for name in NAMES] for matrix in matrices]
    np.testing.assert_allclose(found["weight_power"], power, rtol=1e-4)
    constant = [(matrix.mean(axis=0) ** 2).sum() * 6 for matrix in matrices]
    np.testing.assert_allclose(found["weight_constant"], constant, rtol=1e-4)

    products = np.array([ELEMENTS.index(product(ELEMENTS[a], ELEMENTS[b])) for a, b in PAIRS])
    a, b = np.array(PAIRS).T
    centred = post - post.mean(axis=0)
    explained = np.zeros((3, 2, post.shape[1]))
    for i, of in enumerate((a, b, products)):
        means = np.stack([centred[of == g].mean(axis=0) for g in range(6)])
        for j, name in enumerate(NAMES):
            explained[i, j] = 6 * ((projector(name) @ means) ** 2).sum(axis=0)
    share = explained.sum(axis=0) / (centred**2).sum(axis=0)
    np.testing.assert_allclose(found["neuron_share"], share.max(axis=0), rtol=1e-3)
    assert (found["neuron_irrep"] == share.argmax(axis=0) + 1).all()
    of_all = explained.sum(axis=2) / (centred**2).sum()
    np.testing.assert_allclose(found["neurons"], of_all, rtol=1e-3, atol=1e-6)

    centred = logits - logits.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    means = np.stack([centred[products == g].mean(axis=0) for g in range(6)])
    power = [6 * ((projector(name) @ means) ** 2).sum() / (centred**2).sum() for name in NAMES]
    np.testing.assert_allclose(found["logit_power"], power, rtol=1e-3)


def spoken(logits: np.ndarray, n: int = 6) -> TwoTokenMLP:
    """A network with one neuron a pair, that has these logits [pair, label]."""
    pairs = [(x, y) for x in range(n) for y in range(n)]
    silent = planted.lookup(n, pairs, labels=[0] * n**2)
    return eqx.tree_at(lambda m: m.unembed.W_U, silent, jnp.asarray(2 * logits, jnp.float32))


def test_logits_that_are_characters_are_told_apart_exactly() -> None:
    logits = 3 * traces("(2,1)") + 4 * traces("(1,1,1)")
    found = observe(spoken(logits))
    np.testing.assert_allclose(found["logit_similarity"], [0.6, 0.8], rtol=1e-5)
    np.testing.assert_allclose(found["logit_power"], [0.36, 0.64], rtol=1e-5)
    assert found["key"].tolist() == [1, 1]
    assert found["restricted_loss"] == pytest.approx(loss(logits), rel=1e-4)
    assert found["excluded_loss"] == pytest.approx(np.log(6), rel=1e-5)
    without = [loss(4 * traces("(1,1,1)"), DATA.is_train), loss(3 * traces("(2,1)"), DATA.is_train)]
    np.testing.assert_allclose(found["excluded_loss_by_irrep"], without, rtol=1e-4)


def test_an_irrep_that_the_logits_lack_is_not_key() -> None:
    found = observe(spoken(5 * traces("(2,1)")))
    assert found["key"].tolist() == [1, 0]
    assert found["restricted_val_loss"] == pytest.approx(
        loss(5 * traces("(2,1)"), DATA.is_val), rel=1e-4
    )


def test_multiplication_is_read_in_the_order_of_logarithms() -> None:
    """3 is a primitive root mod 7: logits cos(w (log x + log y - log c)), and nothing for 0."""
    task, exponent = Modular(operation="x*y", p=7), {3**i % 7: i for i in range(6)}
    logits = np.zeros((7, 7, 7))
    for x, i in exponent.items():
        for y, j in exponent.items():
            for c, k in exponent.items():
                logits[x, y, c] = 5 * np.cos(2 * np.pi * (i + j - k) / 6)
    data = make_data(task, LeakyRandom(frac_train=0.6), "true", seed=1)
    found = observe(spoken(logits.reshape(49, 7), 7), task, Observed.of(data))
    np.testing.assert_allclose(found["logit_similarity"], [1, 0, 0], atol=1e-5)
    spoken_of = (data.inputs > 0).all(axis=1)
    expected = -brute_force.score("log_prob", logits.reshape(49, 7)[spoken_of], data.labels[spoken_of])
    assert found["restricted_loss"] == pytest.approx(expected.mean(), rel=1e-4)
    assert found["excluded_loss"] == pytest.approx(np.log(7), rel=1e-5)


def test_frequencies_and_irreps_of_a_cyclic_group_agree() -> None:
    model, task = tiny.made(tiny.MLP, 6, 6), Modular(p=6)
    data = Observed.of(make_data(task, tiny.SPLIT, "true", seed=0))
    found = observe(model, task, data)
    at = tiny.context(tiny.mlp(), task=task.model_dump())
    of_frequencies = Fourier().observe(model, data, at)
    for name in ("weight_power", "weight_constant", "logit_power", "logit_similarity"):
        expected = of_frequencies[f"fourier_{name}"].values
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["neurons"], of_frequencies["fourier_neurons"].values[:3], atol=1e-6)


@pytest.mark.parametrize(
    ("task", "fields", "message"),
    [
        (
            {"name": "group", "group": "Q8"},
            {},
            "irreps of Q's are not known here: .* or take measure 'areas'",
        ),
        ({"name": "group", "group": "S3", "operation": "xyx"}, {}, "xyx in S3 does not: take 'areas'"),
        ({"name": "group", "group": "S3"}, {"key_irreps": ("sign",)}, r"S3 has no 'sign' but \(2,1\)"),
    ],
)
def test_a_run_that_does_not_fit_is_told_what_does(task: dict, fields: dict, message: str) -> None:
    measures = [{"name": "curves"}, {"name": "representations", **fields}]
    with pytest.raises(SpecError, match=message):
        tiny.spec(task=task, measures=measures)
