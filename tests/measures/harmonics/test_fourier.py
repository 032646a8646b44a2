"""Frequencies against projections on written-out cosines, and against a network of known frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import brute_force, planted, tiny
from undergrowth.analysis import gini
from undergrowth.measures import Fourier, Observed
from undergrowth.models import Model, Transformer, TransformerSpec, TwoTokenMLPSpec, state_dict
from undergrowth.spec import SpecError
from undergrowth.tasks import LeakyRandom, Modular, Operation, make_data

LOGARITHM = {3**i % 7: i for i in range(6)}  # 3 is the smallest primitive root mod 7
VOCABULARY = TransformerSpec(d_model=8, n_heads=2, d_head=4, d_mlp=6, logits="vocabulary")


def exponents(task: Modular, x: np.ndarray, y: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """The order n of the group and the exponents that add up mod n in the operation."""
    if task.operation in ("x+y", "x-y"):
        return task.p, x, y if task.operation == "x+y" else -y % task.p
    u, v = (np.array([LOGARITHM[int(token)] for token in tokens]) for tokens in (x, y))
    return 6, u, v if task.operation == "x*y" else -v % 6


def token_of(task: Modular, exponent: int) -> int:
    return exponent if task.operation in ("x+y", "x-y") else 3**exponent % 7


class Written:
    """A model on a modular task, in float64, with cosines written out over the cells."""

    def __init__(self, model: Model, task: Modular) -> None:
        data = make_data(task, LeakyRandom(frac_train=0.6), "true", seed=1)
        x, y = data.inputs.T
        in_group = np.ones(len(x), bool) if task.operation in ("x+y", "x-y") else (x > 0) & (y > 0)
        self.observed = Observed.of(data)
        self.labels, self.is_train = data.labels[in_group], data.is_train[in_group]
        self.is_val = data.is_val[in_group]
        inputs = data.inputs[in_group]
        self.n, self.u, self.v = exponents(task, *inputs.T)
        kept: dict[str, np.ndarray] = {}
        run = brute_force.transformer if isinstance(model, Transformer) else brute_force.mlp
        self.logits = run(state_dict(model), inputs, keep=kept)
        self.post = kept["post"]
        self.columns = [token_of(task, e) for e in range(self.n)]

    def waves(self, k: int, of: np.ndarray) -> list[np.ndarray]:
        """cos and sin of w_k times exponents, without those that are 0 everywhere."""
        angle = 2 * np.pi * k * of / self.n
        return [wave for wave in (np.cos(angle), np.sin(angle)) if np.abs(wave).max() > 1e-9]

    def component(self, k: int) -> np.ndarray:
        """The part of the logits in cos, sin w_k(x + y): [cell, label]."""
        total = np.zeros_like(self.logits)
        for wave in self.waves(k, self.u + self.v):
            unit = wave / np.linalg.norm(wave)
            total += np.outer(unit, unit @ self.logits)
        return total

    def loss(self, logits: np.ndarray, where: np.ndarray | None = None) -> float:
        where = np.ones(len(logits), bool) if where is None else where
        return -brute_force.score("log_prob", logits[where], self.labels[where]).mean()

    def neuron_share(self, k: int) -> np.ndarray:
        """Variance in the linear and quadratic terms at frequency k: {1, cos, sin} x {1, cos, sin}."""
        centred = self.post - self.post.mean(axis=0)
        explained = np.zeros(centred.shape[1])
        one = np.ones(len(centred))
        for first in (one, *self.waves(k, self.u)):
            for second in (one, *self.waves(k, self.v)):
                unit = first * second / np.linalg.norm(first * second)
                explained += (unit @ centred) ** 2
        total = (centred**2).sum(axis=0)
        return np.divide(explained, total, out=np.zeros_like(total), where=total > 0)


CASES: dict[str, tuple[Model, Modular]] = {
    "transformer, sum": (tiny.transformer(), Modular(p=5)),
    "transformer with special tokens, sum": (tiny.made(VOCABULARY), Modular(p=5)),
    "mlp, difference": (tiny.mlp(), Modular(operation="x-y", p=5)),
    "mlp, product": (tiny.made(tiny.MLP, 7, 7), Modular(operation="x*y", p=7)),
    "mlp, quotient": (tiny.made(tiny.MLP, 7, 7), Modular(operation="x/y", p=7)),
    "mlp, sum of even order": (tiny.made(tiny.MLP, 6, 6), Modular(p=6)),
}
every_case = pytest.mark.parametrize("case", CASES)


def observe(model: Model, task: Operation, data: Observed, **fields: Any) -> dict[str, np.ndarray]:
    at = tiny.context(tiny.mlp(), task=task.model_dump())
    found = Fourier(**fields).observe(model, data, at)
    return {name.removeprefix("fourier_"): reading.values for name, reading in found.items()}


@every_case
def test_restricted_and_excluded_losses_are_those_of_written_out_projections(case: str) -> None:
    model, task = CASES[case]
    written = Written(model, task)
    ks = range(1, written.n // 2 + 1)
    for keys in ((1,), tuple(ks)):
        found = observe(model, task, written.observed, key_frequencies=keys)
        restricted = sum(written.component(k) for k in keys)
        restricted = restricted + (written.logits - restricted).mean(axis=0)
        expected = {
            "restricted_loss": written.loss(restricted),
            "restricted_train_loss": written.loss(restricted, written.is_train),
            "restricted_val_loss": written.loss(restricted, written.is_val),
            "excluded_loss": written.loss(
                written.logits - sum(written.component(k) for k in keys), written.is_train
            ),
        }
        for name, loss in expected.items():
            assert found[name] == pytest.approx(loss, rel=1e-4), name
        each = [written.loss(written.logits - written.component(k), written.is_train) for k in ks]
        np.testing.assert_allclose(found["excluded_loss_by_frequency"], each, rtol=1e-4)
        assert found["key"].tolist() == [float(k in keys) for k in ks]


@every_case
def test_shares_of_the_logits_are_those_of_written_out_projections(case: str) -> None:
    model, task = CASES[case]
    written = Written(model, task)
    found = observe(model, task, written.observed)
    logits = written.logits = written.logits[:, written.columns]
    logits -= logits.mean(axis=1, keepdims=True)
    logits -= logits.mean(axis=0)
    for i, k in enumerate(range(1, written.n // 2 + 1)):
        power = (written.component(k) ** 2).sum() / (logits**2).sum()
        assert found["logit_power"][i] == pytest.approx(power, rel=1e-3)
        c = np.arange(written.n)
        wave = np.cos(2 * np.pi * k * ((written.u + written.v)[:, None] - c) / written.n)
        similarity = (wave * logits).sum() / np.linalg.norm(wave) / np.linalg.norm(logits)
        assert found["logit_similarity"][i] == pytest.approx(similarity, abs=1e-4)


@every_case
def test_mean_logits_are_means_over_the_cells_of_a_product_where_they_are_asked_for(case: str) -> None:
    model, task = CASES[case]
    written = Written(model, task)
    found = observe(model, task, written.observed, mean_logits=True)["mean_logits"]
    for product in range(written.n):
        cells = (written.u + written.v) % written.n == product
        np.testing.assert_allclose(found[product], written.logits[cells].mean(axis=0), atol=1e-5)
    assert "mean_logits" not in observe(model, task, written.observed)


@every_case
def test_a_neuron_s_frequency_is_that_of_its_linear_and_quadratic_terms(case: str) -> None:
    model, task = CASES[case]
    written = Written(model, task)
    found = observe(model, task, written.observed)
    shares = np.stack([written.neuron_share(k) for k in range(1, written.n // 2 + 1)])
    alive = written.post.var(axis=0) > 0
    np.testing.assert_allclose(found["neuron_share"], shares.max(axis=0), rtol=1e-3)
    assert (found["neuron_frequency"] == np.where(alive, shares.argmax(axis=0) + 1, 0)).all()
    of_all = shares @ written.post.var(axis=0) / written.post.var(axis=0).sum()
    np.testing.assert_allclose(found["neurons"].sum(axis=0), of_all, rtol=1e-3)


def test_the_power_of_weights_over_all_frequencies_is_their_squared_norm() -> None:
    model = tiny.transformer()
    found = observe(model, Modular(p=5), tiny.observed())
    w = brute_force.in_float64(state_dict(model))
    W_E, W_L = w["embed.W_E"][:5], (w["blocks.0.mlp.W_out"] @ w["unembed.W_U"]).T
    total = found["weight_constant"] + found["weight_power"].sum(axis=1)
    np.testing.assert_allclose(total, [(W_E**2).sum(), (W_L**2).sum()], rtol=1e-5)
    angle = 2 * np.pi * 2 * np.arange(5) / 5
    at_2 = 2 / 5 * ((np.cos(angle) @ W_E) ** 2 + (np.sin(angle) @ W_E) ** 2).sum()
    assert found["weight_power"][0, 1] == pytest.approx(at_2, rel=1e-5)


P, KEYS = 13, (1, 3, 4)


@pytest.fixture(scope="module")
def of_planted() -> dict[str, np.ndarray]:
    """Gromov's network of three frequencies, measured."""
    data = Observed.of(make_data(Modular(p=P), tiny.SPLIT, "true", seed=0))
    return observe(planted.periodic(P, KEYS, strength=3.0), Modular(p=P), data)


def test_planted_frequencies_are_found(of_planted: dict[str, np.ndarray]) -> None:
    is_key = [float(k in KEYS) for k in range(1, 7)]
    assert of_planted["key"].tolist() == is_key
    assert of_planted["n_key"] == 3
    assert of_planted["neuron_frequency"].tolist() == [k for k in KEYS for _ in range(8)]
    # (cos a + cos b)^2 has variance 1 in 2 cos a cos b, and 1/8 each at the doubled frequency of a and b
    np.testing.assert_allclose(of_planted["neuron_share"], 0.8, rtol=1e-5)
    np.testing.assert_allclose(of_planted["logit_power"], np.array(is_key) / 3, atol=1e-5)
    np.testing.assert_allclose(of_planted["logit_similarity"], np.array(is_key) / 3**0.5, atol=1e-5)


def test_planted_frequencies_carry_the_loss(of_planted: dict[str, np.ndarray]) -> None:
    inputs = np.asarray(tiny.pairs(P))
    data = make_data(Modular(p=P), tiny.SPLIT, "true", seed=0)

    def loss(keys: tuple[int, ...], where: np.ndarray) -> float:
        logits = 3.0 * planted.periodic_logits(P, keys, inputs)
        return -brute_force.score("log_prob", logits[where], data.labels[where]).mean()

    everywhere = np.ones(P * P, bool)
    assert of_planted["restricted_loss"] == pytest.approx(loss(KEYS, everywhere), rel=1e-4)
    assert of_planted["restricted_train_loss"] == pytest.approx(loss(KEYS, data.is_train), rel=1e-4)
    assert of_planted["restricted_val_loss"] == pytest.approx(loss(KEYS, data.is_val), rel=1e-4)
    assert of_planted["excluded_loss"] == pytest.approx(np.log(P), rel=1e-5)
    for k in range(1, 7):
        left = tuple(key for key in KEYS if key != k)
        without = of_planted["excluded_loss_by_frequency"][k - 1]
        assert without == pytest.approx(loss(left, data.is_train), rel=1e-4)


def test_planted_weights_are_single_cosines(of_planted: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(of_planted["ipr"], 1, rtol=1e-5)
    gain = (3.0 * 2 / 8) ** 2
    expected = np.outer([1, 1, gain], [8 * P / 2 if k in KEYS else 0 for k in range(1, 7)])
    np.testing.assert_allclose(of_planted["weight_power"], expected, atol=1e-4)
    np.testing.assert_allclose(gini(of_planted["weight_power"] ** 0.5), 0.5, atol=1e-3)


def test_a_random_network_has_no_key_frequency() -> None:
    task = Modular(p=31)
    data = Observed.of(make_data(task, tiny.SPLIT, "true", seed=0))
    model = tiny.made(TwoTokenMLPSpec(d_embed=16, d_mlp=32), 31, 31)
    found = observe(model, task, data, exclude_each=False)
    assert found["n_key"] == 0
    assert found["neuron_share"].max() < 0.4
    assert np.abs(found["logit_similarity"]).max() < 0.02
    logits = brute_force.mlp(state_dict(model), np.asarray(data.inputs))
    average = np.broadcast_to(logits.mean(axis=0), logits.shape)
    losses = [-brute_force.score("log_prob", z, np.asarray(data.labels)) for z in (average, logits)]
    assert found["restricted_loss"] == pytest.approx(losses[0].mean(), rel=1e-4)
    is_train, _ = data.sides()
    assert found["excluded_loss"] == pytest.approx(losses[1][is_train].mean(), rel=1e-4)
    assert "excluded_loss_by_frequency" not in found


def test_key_frequencies_by_logits_are_those_above_the_threshold() -> None:
    model, task = CASES["mlp, sum of even order"]
    data = Written(model, task).observed
    power = observe(model, task, data)["logit_power"]
    threshold = float(np.sort(power)[:2].mean())  # between two: readings are rounded to float32
    found = observe(model, task, data, key_by="logits", logit_threshold=threshold)
    assert (found["key"] == (power >= threshold)).all()
    assert found["n_key"] == 2


@pytest.mark.parametrize(
    ("task", "fields", "message"),
    [
        ({"name": "group", "group": "S5"}, {}, "S5 is not written as one: take 'representations'"),
        (
            {"name": "modular", "operation": "x^2+y^2", "p": 5},
            {},
            r"x\^2\+y\^2 mod 5 does not: take 'areas'",
        ),
        (
            {"name": "sparse_parity", "n_bits": 4},
            {},
            "needs a task that composes a cyclic group, .* 'curves'",
        ),
        ({"name": "modular", "p": 5}, {"key_frequencies": (3,)}, "x.y mod 5 has frequencies 1 to 2"),
    ],
)
def test_a_run_that_does_not_fit_is_told_what_does(task: dict, fields: dict, message: str) -> None:
    measures = [{"name": "curves"}, {"name": "fourier", **fields}]
    with pytest.raises(SpecError, match=message):
        tiny.spec(task=task, measures=measures, model={"name": "mlp"})
