"""What the benchmark holds speeds against is right: the operations that it counts, and its bars."""

from __future__ import annotations

from typing import Any

import jax
import pytest
from jax.extend.core import jaxprs_in_params

from benchmarks import packs
from benchmarks.rows import Bar, Row, Spread
from benchmarks.works import essential_flop, tiny
from tests import tiny as small
from undergrowth.models import TransformerSpec
from undergrowth.precision import ALGORITHMS
from undergrowth.spec import RunSpec
from undergrowth.tasks import Modular


def multiplications(jaxpr: Any) -> int:
    """Of all products of matrices in a program."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            ((contracted, _), _) = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            inner = 1
            for axis in contracted:
                inner *= shape[axis]
            total += equation.outvars[0].aval.size * inner
        for inside in jaxprs_in_params(equation.params):
            total += multiplications(inside)
    return total


def forward(run: RunSpec, n_examples: int) -> int:
    inputs = jax.ShapeDtypeStruct((n_examples, 2), "int32")
    return multiplications(jax.make_jaxpr(lambda m, i: m(i))(run.blank_model(), inputs).jaxpr)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("prompt", ["x y =", "<eos> x o y ="])
@pytest.mark.parametrize("d_head", [32, 64])
def test_essential_operations_of_a_transformer_are_those_of_the_shared_pass(
    n_layers: int, prompt: Any, d_head: int
) -> None:
    model = TransformerSpec(n_layers=n_layers, layer_norm="post", prompt=prompt, d_head=d_head)
    run = RunSpec(task=Modular(p=59), model=model)
    counted = essential_flop(run)
    assert counted is not None
    # Scores and weighted values are counted too; our pass does not compute them as products of matrices.
    assert forward(run, run.data().n_train) == pytest.approx(counted / 6, rel=0.02)


def test_essential_operations_of_the_two_token_mlp_are_those_of_its_tables_and_unembedding() -> None:
    assert essential_flop(tiny()) == 6 * forward(tiny(), n_examples=128)


def test_a_row_is_held_to_all_its_bars_by_its_medians() -> None:
    bars = (Bar("ratio", at_least=3), Bar("limit_fraction", at_least=0.5), Bar("ours", at_most=2))
    ours, reference = Spread.of([1.0, 9.0, 2.0]), Spread.of([6.0])
    row = Row("w", ours, reference, flop=1e8, peak_gflops=100, bars=bars)
    assert row.met == "yes"
    assert row.as_json() == {
        "work": "w",
        "ours_ms": 2,
        "reference_ms": 6,
        "ratio": 3,
        "limit_fraction": 0.5,
        "peak_gflops": 100,
    }
    assert Row("w", ours, Spread.of([5.9]), flop=1e8, peak_gflops=100, bars=bars).met == "NO"
    assert Row("w", ours, bars=(Bar("ratio", at_least=3),)).met == ""
    assert Row("w", figure=0.0, bars=(Bar("figure", at_most=1),)).met == "yes"


@pytest.mark.parametrize(
    ("way", "stepped"),
    [
        ("refilled", 10 * 2 + 10 * 2 + 20),
        ("refilled, empty slots kept", 40 * 2),
        ("cut beforehand", 10 * 2 + 10 + 30),
        ("cut beforehand, empty slots kept", 20 * 2 + 30 * 2),
    ],
)
def test_steps_in_vain_are_those_that_were_made_less_those_that_were_asked_for(
    way: str, stepped: int
) -> None:
    specs = [small.spec(steps=steps).seeded(seed) for seed, steps in enumerate((10, 20, 30))]
    spent = packs.Spent(60)
    with packs.counting(spent):
        packs.WAYS[way](specs, 2)
    assert spent.stepped == stepped
    assert spent.in_vain == pytest.approx(1 - 60 / stepped)
    assert spent.seconds > 0


def test_a_peak_is_that_of_the_device_and_the_precision_where_both_are_known() -> None:
    assert packs.peak_of("NVIDIA H200", "float32") == 67_000
    assert packs.peak_of("NVIDIA A100-SXM4-40GB", "3xtf32") == pytest.approx(52_000)
    assert packs.peak_of("cpu", "float32") is None
    known = {name for peaks in packs.PEAKS.values() for name in peaks}
    assert known == {*ALGORITHMS} - {"3xtf32"}
