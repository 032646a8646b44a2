"""Products are of float32 in full, in training and in every measure, unless a run asks for less; what it
asks for is computed, or refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core.primitives import dot_general_p

from tests import brute_force, tiny
from tests.engine.test_laws import WAYS
from tests.engine.test_loop import bits, curve, facts, snapshots
from undergrowth.engine import train
from undergrowth.engine.step import advance, advance_together
from undergrowth.engine.under_way import UnderWay
from undergrowth.models import state_dict
from undergrowth.precision import ALGORITHMS, products_in
from undergrowth.spec import RunSpec, SpecError
from undergrowth.store import Store
from undergrowth.sweep import Layout, train as swept

FULL = jax.lax.Precision.HIGHEST
ROUGH = "bfloat16"
TF32_ID, BF16_ID = "5fbe53eda5210aad", "3f16d4d70a2436c6"
"""Of the default run in each, as they were when these had their long names alone."""


@pytest.fixture
def precisions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The precision of each product that is traced."""
    seen: list[Any] = []
    bind = dot_general_p.bind

    def watched(*args: Any, **fields: Any) -> Any:
        seen.append(fields["precision"])
        return bind(*args, **fields)

    jax.clear_caches()
    monkeypatch.setattr(dot_general_p, "bind", watched)
    with jax.default_matmul_precision("bfloat16"):  # as if the user had set it, or the machine
        yield seen
    jax.clear_caches()


def is_full(precision: Any) -> bool:
    return precision in (FULL, (FULL, FULL))


def test_a_model_multiplies_in_full_where_nobody_has_asked_for_less() -> None:
    traced = str(jax.make_jaxpr(lambda a: a @ a)(jnp.ones((2, 2))))
    assert "HIGHEST" in traced


def test_training_and_its_measures_multiply_in_full(precisions: list[Any]) -> None:
    list(train([tiny.spec(steps=10)], [None]))
    assert precisions
    assert all(map(is_full, precisions))


def test_a_run_may_train_in_less_but_is_measured_in_full(precisions: list[Any]) -> None:
    list(train([tiny.spec(steps=10, precision=ROUGH)], [None]))
    assert {is_full(precision) for precision in precisions} == {True, False}


def test_full_precision_is_no_part_of_an_id_and_every_other_is() -> None:
    assert tiny.spec(precision="float32").id == tiny.spec().id
    ids = {tiny.spec(precision=precision).id for precision in ALGORITHMS}
    assert len(ids) == len(ALGORITHMS) == 4


def test_short_names_mean_the_same_run_and_ids_are_what_they_were() -> None:
    default = RunSpec(precision="tf32")
    assert (default.precision, default.id) == ("tensorfloat32", TF32_ID)
    assert RunSpec(precision="bf16").id == RunSpec(precision="bfloat16").id == BF16_ID
    assert RunSpec.from_toml(default.to_toml()) == default


def test_a_precision_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SpecError, match=r"precision = 'float16'.*tf32.*bf16") as error:
        RunSpec.from_dict({"precision": "float16"})
    assert "\n" not in str(error.value)


def products(text: str) -> list[str]:
    """The lines of a lowered program that multiply."""
    return [line for line in text.splitlines() if "stablehlo.dot_general" in line]


IN_PROGRAM = {
    "float32": "precision = [HIGHEST, HIGHEST]",
    "3xtf32": "lhs_precision_type = tf32, rhs_precision_type = tf32, accumulation_type = f32, "
    "lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 3,",
    "tensorfloat32": "lhs_precision_type = tf32, rhs_precision_type = tf32, accumulation_type = f32, "
    "lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1,",
    "bfloat16": "lhs_precision_type = bf16, rhs_precision_type = bf16, accumulation_type = f32, "
    "lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1,",
}


@pytest.mark.parametrize("precision", ALGORITHMS)
@pytest.mark.parametrize("way", ["adamw", "muon-deep", "sign-sgd-single-stablemax-two-token"])
def test_every_product_of_a_step_on_a_gpu_is_by_the_algorithm_asked_for(
    way: str, precision: str
) -> None:
    """As lowered for CUDA, which takes no such device; alone and under vmap."""
    run = UnderWay(tiny.spec(**WAYS[way]), None, ())
    how = {"optimiser": run.spec.optimiser.skeleton(), "loss": run.spec.loss, "has_gaps": False}
    alone = run.state, run.side.train_set, run.side.batches(0, 3)
    pair = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), alone)
    at = np.zeros(2, np.int32)
    with jax.default_matmul_precision(ALGORITHMS[precision]):
        for traced in (
            advance.trace(*alone, 0, 3, **how),
            advance_together.trace(*pair, at, at, 3, **how),
        ):
            found = products(traced.lower(lowering_platforms=("cuda",)).as_text())
            assert len(found) > 5
            assert all(IN_PROGRAM[precision] in line for line in found)


def rounded_to_bfloat16(x: np.ndarray) -> np.ndarray:
    """By hand: to the nearest of 8 significant bits, half to even."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.rint(mantissa * 2**8) / 2**8, exponent)


def test_a_product_in_bfloat16_on_a_cpu_is_that_of_rounded_factors() -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal(shape).astype(np.float32) for shape in ((9, 200), (200, 7)))
    exact = rounded_to_bfloat16(left) @ rounded_to_bfloat16(right)
    with products_in("bf16"):
        rough = np.asarray(jax.jit(jnp.matmul)(left, right))
        stacked = np.asarray(jax.jit(jax.vmap(jnp.matmul))(left[None], right[None]))[0]
        slope = np.asarray(jax.jit(jax.grad(lambda a: (a @ right).sum()))(jnp.asarray(left)))
    for found in (rough, stacked):
        np.testing.assert_allclose(found, exact, rtol=0, atol=2e-5)
    np.testing.assert_allclose(slope[0], rounded_to_bfloat16(right).sum(axis=1), atol=2e-6)
    full = np.asarray(jax.jit(jnp.matmul)(left, right))
    np.testing.assert_allclose(full, left.astype(np.float64) @ right, atol=2e-5)
    assert np.abs(full - exact).max() > 1e-2


def test_a_run_in_bfloat16_differs_from_the_first_update_on_and_is_read_in_full() -> None:
    """Its untrained network has the readings of the other, bit for bit; its trained one is read by the
    same program.
    """
    full, rough = (facts(tiny.spec(precision=precision)) for precision in ("float32", ROUGH))
    for name in ("train_loss", "val_loss", "weight_norm"):
        exact, found = curve(full, name), curve(rough, name)
        assert exact[0] == found[0]
        assert exact[-1] != found[-1]
    assert bits(snapshots(full)[0].state.model) == bits(snapshots(rough)[0].state.model)
    state = state_dict(snapshots(rough)[30].state.model)
    assert {array.dtype for array in state.values()} == {np.dtype(np.float32)}
    data = tiny.spec().data()
    logits = brute_force.mlp(state, data.inputs[data.is_train])
    loss = -brute_force.score("log_prob", logits, data.labels[data.is_train]).mean()
    assert curve(rough, "train_loss")[-1] == pytest.approx(loss, rel=1e-5)


def test_the_update_that_a_measure_is_told_is_in_the_precision_of_training() -> None:
    spec = tiny.spec(precision=ROUGH, checkpoints={"every": 1, "until": 30, "per_decade": 1})
    kept = snapshots(facts(spec))
    update = UnderWay(spec, kept[20], ()).next_update()
    parts = [state_dict(part) for part in (update.data, update.decay)]
    before, after = (state_dict(kept[step].state.model) for step in (20, 21))
    for name in before:
        np.testing.assert_allclose(after[name] - before[name], sum(p[name] for p in parts), atol=3e-7)


def test_full_precision_is_the_same_to_the_bit_beside_and_after_one_in_less(tmp_path: Path) -> None:
    full, rough = tiny.spec(), tiny.spec(precision=ROUGH)
    before = bits(snapshots(facts(full))[30].state)
    facts(rough)
    assert bits(snapshots(facts(full))[30].state) == before
    store = swept([full, rough], tmp_path, layout=Layout(workers=1, pack=2))
    alone = {spec.id: snapshots(facts(spec))[30].state.model for spec in (full, rough)}
    for run in store.runs:  # of two shapes, so each is stepped alone
        assert {name: a.tobytes() for name, a in state_dict(run.model()).items()} == bits(alone[run.id])


@pytest.mark.parametrize("precision", ["tf32", "3xtf32"])
def test_what_a_cpu_cannot_do_is_said_in_one_line_before_anything_is_trained(
    precision: str, tmp_path: Path
) -> None:
    spec = tiny.spec(precision=precision)
    with pytest.raises(
        SpecError, match=r"a CPU has no such product.*use \"float32\" or \"bf16\""
    ) as error:
        swept([spec, tiny.spec()], tmp_path, layout=Layout(workers=1))
    assert "\n" not in str(error.value)
    assert Store(tmp_path).runs == ()
    with pytest.raises(ValueError, match="a CPU has no such product"):
        facts(spec)
