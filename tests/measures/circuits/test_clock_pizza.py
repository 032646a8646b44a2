"""Clock and pizza against float64 finite differences, closed forms, and what must be refused."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.measures import ClockPizza, distance_irrelevance
from undergrowth.measures.circuits.clock_pizza import _cosines
from undergrowth.models import Model, TwoTokenMLPSpec, load_state_dict, state_dict
from undergrowth.spec import RunSpec, SpecError

P = tiny.P


def brute_cosine(model: Model, x: int, y: int, label: int) -> float:
    """By shifting one number of one operand's embedding at a time, in float64."""
    weights = brute_force.in_float64(state_dict(model))
    pair, h, slopes = np.array([[x, y]]), 1e-6, []
    for W in ("embed.W_x", "embed.W_y"):
        row = x if W == "embed.W_x" else y
        slope = []
        for i in range(weights[W].shape[1]):
            ends = []
            for by in (h, -h):
                shifted = weights | {W: weights[W].copy()}
                shifted[W][row, i] += by
                ends.append(brute_force.mlp(shifted, pair)[0, label])
            slope.append((ends[0] - ends[1]) / (2 * h))
        slopes.append(np.array(slope))
    of_x, of_y = slopes
    return float(of_x @ of_y / np.linalg.norm(of_x) / np.linalg.norm(of_y))


def test_cosines_are_those_of_finite_differences() -> None:
    model = tiny.mlp()
    triples = [(0, 1, 2), (3, 3, 1), (4, 0, 0), (2, 3, 4)]
    pairs, labels = jnp.array([t[:2] for t in triples]), jnp.array([t[2] for t in triples])
    expected = [brute_cosine(model, *triple) for triple in triples]
    np.testing.assert_allclose(_cosines(model, pairs, labels), expected, atol=1e-4)


def test_operands_that_are_only_added_have_equal_slopes() -> None:
    summed = tiny.made(TwoTokenMLPSpec(d_embed=4, d_mlp=6, combine="summed", act_fn="gelu"))
    found = observed(summed)
    assert found["gradient_symmetricity"] == pytest.approx(1, abs=1e-6)


def test_an_operand_that_is_not_read_leaves_no_angle_and_one_that_is_turned_the_opposite() -> None:
    model = tiny.made(TwoTokenMLPSpec(d_embed=4, d_mlp=6, act_fn="gelu"))
    arrays = {name: array.copy() for name, array in state_dict(model).items()}
    arrays["mlp.W_in"][4:] = -arrays["mlp.W_in"][:4]
    assert observed(load_state_dict(model, arrays))["gradient_symmetricity"] == pytest.approx(-1)
    arrays["mlp.W_in"][4:] = 0
    assert np.isnan(observed(load_state_dict(model, arrays))["gradient_symmetricity"])


def observed(model: Model) -> dict[str, float]:
    readings = ClockPizza(n_triples=30).observe(model, tiny.observed(), tiny.context(model, 0))
    return {name: float(reading.values) for name, reading in readings.items()}


def test_the_distance_says_all_or_nothing() -> None:
    x, y = np.meshgrid(np.arange(7), np.arange(7), indexing="ij")
    wave = np.cos(2 * np.pi * np.arange(7) / 7)
    assert distance_irrelevance(wave[(y - x) % 7]) == pytest.approx(0, abs=1e-12)
    assert distance_irrelevance(wave[(x + y) % 7]) == pytest.approx(1)
    assert np.isnan(distance_irrelevance(np.ones((3, 3))))


def test_the_logits_are_those_of_the_correct_labels_and_the_highest_of_the_others() -> None:
    model = tiny.mlp()
    x, y = np.divmod(np.arange(P * P), P)
    logits = brute_force.mlp(state_dict(model), np.stack([x, y], axis=1))
    right = np.array([its[label] for its, label in zip(logits, (x + y) % P, strict=True)])
    wrong = np.array([np.delete(its, i).max() for its, i in zip(logits, (x + y) % P, strict=True)])
    for ending, its in (("", right), ("_of_wrong", wrong)):
        table = its.reshape(P, P)
        spread = np.mean([np.std([table[i, (i + d) % P] for i in range(P)]) for d in range(P)])
        found = observed(model)[f"distance_irrelevance{ending}"]
        assert found == pytest.approx(spread / table.std(), rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"task": {"operation": "x*y", "p": 5}}, "x\\*y mod 5 is not addition"),
        ({"task": {"p": 5}, "model": {"name": "mlp"}}, "a mlp embeds no operands"),
    ],
)
def test_what_it_is_not_of_is_refused_in_one_line(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(SpecError, match=wrong):
        RunSpec.from_dict({**fields, "measures": [{"name": "curves"}, {"name": "clock_pizza"}]})
