"""Sampled and trained functions against enumerations and training in plain numpy, float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

from undergrowth.engine.under_way import UnderWay, initial
from undergrowth.measures import Context, Observed, Reading
from undergrowth.measures.functions.sampled import sampled
from undergrowth.measures.functions.trained import N_ORDERS, trained
from undergrowth.measures.functions.untrained import Untrained, WordStream
from undergrowth.models.random_words import RandomWords
from undergrowth.rng import stream
from undergrowth.spec import RunSpec, SpecError

FULL, ONE = {"name": "full"}, {"name": "mini", "batch_size": 1}
ADAM = {"name": "adam", "lr": 0.02, "warmup_steps": 3}


def spec(n_bits: int = 3, n_train: int = 4, *, d_mlp: int = 4, n_hidden: int = 1, **fields) -> RunSpec:
    return RunSpec.from_dict(
        {
            "task": {"name": "boolean_function", "n_bits": n_bits, "n_terms": 1, "n_literals": 2},
            "split": {"name": "leaky_random", "frac_train": n_train / 2**n_bits},
            "model": {"name": "mlp", "d_mlp": d_mlp, "n_hidden": n_hidden},
            "optimiser": {"name": "sgd", "lr": 0.3, "warmup_steps": 2},
            "steps": 1,
            **fields,
        }
    )


def read(run: RunSpec, **measure) -> Mapping[str, Reading]:
    """What a measure reads before the first step."""
    with_it = run.replace(measures=({"name": "curves"}, measure))
    return UnderWay(with_it, None, ()).readings(with_it.measures[1])


def context(run: RunSpec) -> Context:
    def no_update():
        raise AssertionError

    rng = stream(run.seeds.noise, "measures", 0)
    return Context(0, rng, run, initial(run).state, no_update, no_update)


def counted(readings: Mapping[str, Reading], n_examples: int) -> Counter[tuple[int, ...]]:
    """Networks by the labels they give to all examples."""
    key = next(iter(readings)).removesuffix("_table")
    packed = readings[f"{key}_table"].values.astype(np.uint8)
    tables = np.unpackbits(packed, axis=1)[:, :n_examples]
    count = readings[f"{key}_count"].values.sum(axis=0)
    return Counter({tuple(t.tolist()): int(c) for t, c in zip(tables, count, strict=True)})


def relu_network(weights: list[np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """float64 logits of W_in, b_in, ..., W_U, b_U."""
    h = inputs.astype(np.float64)
    for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        h = np.maximum(h @ W + b, 0)
    return h @ weights[-2] + weights[-1]


@pytest.mark.parametrize("init_mode", ["fan_in", "torch"])
def test_sampled_shares_are_those_of_an_enumeration_in_numpy(init_mode: str) -> None:
    """Networks 2-3-2 drawn, run and counted by numpy alone; every function within 5 standard errors."""
    n, run = 100_000, spec(2, 1, d_mlp=3)
    run = run.replace(model={**run.model.model_dump(), "init_mode": init_mode})
    data, rng = run.data(), np.random.default_rng(11)

    def draw(*shape: int, fan_in: int, bias: bool = False) -> np.ndarray:
        if init_mode == "torch":
            return rng.uniform(-1, 1, (n, *shape)) / fan_in**0.5
        return np.zeros((n, *shape)) if bias else rng.standard_normal((n, *shape)) / fan_in**0.5

    W, b = draw(2, 3, fan_in=2), draw(1, 3, fan_in=2, bias=True)
    U, c = draw(3, 2, fan_in=3), draw(1, 2, fan_in=3, bias=True)
    logits = np.maximum(data.inputs @ W + b, 0) @ U + c
    tables = logits.argmax(axis=2)
    fits = (tables[:, data.is_train] == data.labels[data.is_train]).all(axis=1)
    expected = Counter(map(tuple, tables[fits].tolist()))

    readings = read(run, name="sampled_functions", n_networks=n)
    found = counted(readings, 4)
    assert found.keys() == expected.keys()
    assert len(found) > 5
    for table in found:
        p = (found[table] + expected[table]) / 2 / n
        assert abs(found[table] - expected[table]) < 5 * np.sqrt(2 * n * p * (1 - p))
    share = float(readings["sampled_functions_share"].values)
    assert sum(found.values()) / n == pytest.approx(share, rel=1e-6)


def test_sampled_functions_fit_and_are_listed_once_the_most_frequent_first() -> None:
    run = spec(4, 4)
    readings = read(run, name="sampled_functions", n_networks=5000)
    found, data = counted(readings, 16), run.data()
    tables = np.array(list(found))
    assert (tables[:, data.is_train] == data.labels[data.is_train]).all()
    assert len({tuple(table) for table in tables.tolist()}) == len(tables)
    totals = list(found.values())
    assert totals == sorted(totals, reverse=True)
    halves = readings["sampled_functions_count"].values.sum(axis=1)
    assert abs(halves[0] - halves[1]) < 5 * np.sqrt(halves.sum())
    margins = readings["sampled_functions_margin"].values
    assert ((margins >= 0) & (margins <= 4)).all()


def test_margins_are_those_of_the_networks_run_in_float64() -> None:
    run = spec(3, 3)
    untrained, data = Untrained.of(run), run.data()
    fits = sampled(untrained, Observed.of(data), context(run).rng, 300)
    words = WordStream(untrained, context(run).rng).next(300)
    for network, lead in zip(fits.network, fits.lead, strict=True):
        logits = relu_network(weights_of(untrained, words[network]), data.inputs)
        np.testing.assert_allclose(lead, logits[:, 1] - logits[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("at_once", [7, 64, 1000])
def test_what_is_found_does_not_depend_on_how_many_networks_are_taken_at_once(at_once: int) -> None:
    run = spec(3, 3, batch=ONE)
    data, n = Observed.of(run.data()), 150
    for found in (
        lambda at_once: sampled(Untrained.of(run), data, context(run).rng, n, at_once),
        lambda at_once: trained(data, context(run), n, 40, at_once),
    ):
        one, other = found(50), found(at_once)
        assert len(one.network)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [FULL, ONE])
def test_no_training_gives_the_sampled_distribution(batch: dict) -> None:
    run = spec(4, 4, batch=batch)
    plain = read(run, name="sampled_functions", n_networks=3000)
    still = read(run, name="trained_functions", n_networks=3000, max_updates=0)
    for name, reading in plain.items():
        its = still[name.replace("sampled", "trained")].values
        np.testing.assert_allclose(its, reading.values, rtol=1e-5)
    assert float(still["trained_functions_updates"].values) == 0


def weights_of(untrained: Untrained, words: np.ndarray) -> list[np.ndarray]:
    model = untrained.network(jnp.asarray(words))
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(model)]


def descended(
    weights: list[np.ndarray], data, batches: np.ndarray | None, max_updates: int, lr: float
) -> tuple[bool, int, np.ndarray]:
    """Gradient descent on cross-entropy, by hand, with a warm-up of 2; whether it fits, when, labels."""
    weights = [np.array(w) for w in weights]
    x, y = data.inputs[data.is_train].astype(np.float64), data.labels[data.is_train]
    for k in range(max_updates + 1):
        if (relu_network(weights, x).argmax(axis=1) == y).all():
            return True, k, relu_network(weights, data.inputs).argmax(axis=1)
        if k == max_updates:
            break
        chosen = np.arange(len(y)) if batches is None else batches[k]
        W, b, U, c = weights
        pre = x[chosen] @ W + b
        h = np.maximum(pre, 0)
        z = h @ U + c
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(chosen)), y[chosen]] -= 1
        p /= len(chosen)
        back = (p @ U.T) * (pre > 0)
        rate = lr * min((k + 1) / 2, 1)
        for w, slope in zip(
            (W, b, U, c), (x[chosen].T @ back, back.sum(0), h.T @ p, p.sum(0)), strict=True
        ):
            w -= rate * slope
    return False, max_updates, np.zeros(0)


@pytest.mark.parametrize("batch", [FULL, ONE, {"name": "mini", "batch_size": 2}])
def test_training_is_that_of_plain_numpy_network_by_network(batch: dict) -> None:
    run, n, most = spec(3, 5, batch=batch), 70, 60
    data, untrained = run.data(), Untrained.of(run)
    fits = trained(Observed.of(data), context(run), n, most)

    rng = context(run).rng
    words = WordStream(untrained, rng).next(n)
    seeds = rng.integers(2**31, size=N_ORDERS)
    expected = []
    for i in range(n):
        order = run.batch.indices(5, int(seeds[i % N_ORDERS]), 0, most)
        expected.append(descended(weights_of(untrained, words[i]), data, order, most, 0.3))
    assert fits.network.tolist() == [i for i, (fit, _, _) in enumerate(expected) if fit]
    assert len(fits.network) > 10
    assert len({updates for _, updates, _ in expected}) > 5
    for network, updates, lead in zip(fits.network, fits.updates, fits.lead, strict=True):
        assert updates == expected[network][1]
        assert ((lead > 0) == expected[network][2]).all()


def test_adam_with_a_warm_up_trains_too_and_more_networks_fit_with_more_updates() -> None:
    run = spec(3, 5, optimiser=ADAM)
    shares = [
        float(
            read(run, name="trained_functions", n_networks=128, max_updates=k)[
                "trained_functions_share"
            ].values
        )
        for k in (0, 5, 200)
    ]
    assert shares[0] < shares[1] < shares[2] > 0.9


def test_random_words_give_the_numbers_of_their_distribution() -> None:
    words = np.random.default_rng(0).integers(2**32, size=20_000, dtype=np.uint32)
    words[:2] = 0, 2**32 - 1  # the ends
    u = (np.floor(words / 2**9) + 0.5) / 2**23
    uniform = RandomWords(jnp.asarray(words)).uniform(-1.0, 1.0, (100, 200))
    normal = RandomWords(jnp.asarray(words)).standard_normal((100, 200))
    np.testing.assert_allclose(np.ravel(uniform), 2 * u - 1, atol=1e-7)
    np.testing.assert_allclose(np.ravel(normal), ndtri(u), atol=2e-5, rtol=1e-4)


def test_there_are_as_many_words_as_weights_that_are_drawn() -> None:
    assert Untrained.of(spec(7, 8, d_mlp=40, n_hidden=2)).n_words == 7 * 40 + 40 * 40 + 40 * 2
    torch = {"name": "mlp", "d_mlp": 4, "n_hidden": 1, "init_mode": "torch"}
    assert Untrained.of(spec(3, 4, model=torch)).n_words == 3 * 4 + 4 + 4 * 2 + 2


def test_later_steps_read_nothing() -> None:
    run = spec(3, 3, measures=[{"name": "curves"}, {"name": "sampled_functions", "n_networks": 300}])
    from undergrowth.engine import train
    from undergrowth.engine.facts import Measured

    read_at = {
        fact.step
        for _, fact in train([run], [None])
        if isinstance(fact, Measured) and "sampled_functions_share" in fact.readings
    }
    assert read_at == {0}


@pytest.mark.parametrize(
    ("measure", "run", "told"),
    [
        (
            {"name": "sampled_functions", "n_networks": 3},
            spec(5, 20, d_mlp=2),
            "none of n_networks = 3 untrained networks fits the 20 training examples, so fewer than 0.3 "
            "do, where 2^-20 = 1e-06 of all functions do: raise n_networks, or lower frac_train",
        ),
        (
            {"name": "trained_functions", "n_networks": 3, "max_updates": 1},
            spec(5, 20, d_mlp=2),
            "none of n_networks = 3 networks fits the 20 training examples after max_updates = 1: raise "
            "max_updates or the learning rate",
        ),
    ],
)
def test_a_budget_with_no_fit_says_so_and_what_to_change(measure, run: RunSpec, told: str) -> None:
    with pytest.raises(ValueError, match="none of n_networks") as caught:
        read(run, **measure)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"task": {"name": "modular", "p": 5}, "model": {"name": "mlp"}},
            r"counts functions of two labels, and x\+y mod 5 has 5: use a task of two",
        ),
        (
            {"task": {"name": "sparse_parity"}, "split": {"name": "leaky_random"}},
            "at most 1024 examples, and parity of 3 of 40 bits has 2000: use fewer bits",
        ),
    ],
)
def test_a_task_that_has_no_such_functions_is_refused_in_one_line(fields: dict, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        spec(measures=[{"name": "curves"}, {"name": "sampled_functions"}], **fields)
    assert "\n" not in str(caught.value)
