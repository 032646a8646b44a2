"""Theory of two rivals, against closed forms and against brute-force sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from undergrowth.analysis.rivals import (
    Rivals,
    adam_gains,
    crossing,
    descent,
    exponent,
    flow,
    local_exponents,
)

N = 16
PLAIN = Rivals(N, 5)


@pytest.mark.parametrize(
    ("fields", "ratio"),
    [({}, N), ({"gain": 1 / N}, 1), ({"gain": 10 / N}, 10), ({"share": 1 / N}, 1)],
)
def test_without_decay_the_ratio_of_gains_is_that_of_the_pushes(
    fields: dict[str, Any], ratio: float
) -> None:
    rivals = Rivals(N, 5, **fields)
    s, v = flow(rivals, [0.0, 1.0, 30.0])
    np.testing.assert_allclose(rivals.ratio(s, v)[1:], ratio, rtol=1e-6)


@pytest.mark.parametrize(("factor", "ratio"), [(1, N), (N, 1)])
def test_at_rest_strengths_are_pushes_over_decay(factor: float, ratio: float) -> None:
    rivals = Rivals(N, 5, decay_general=0.05 * factor, decay_shallow=0.05)
    s, v = flow(rivals, [0.0, 2000.0])
    rho = rivals.residual(s + v)[-1]
    assert s[-1] == pytest.approx(rho / (0.05 * factor), rel=1e-6)
    assert v[-1] == pytest.approx(rho / (N * 0.05), rel=1e-6)
    assert rivals.ratio(s, v)[-1] == pytest.approx(ratio, rel=1e-6)


def test_the_residual_is_that_of_a_softmax() -> None:
    logits = np.array([1.3, 0, 0, 0, 0])
    assert PLAIN.residual(np.array(1.3)) == pytest.approx(1 - np.exp(1.3) / np.exp(logits).sum())


def test_small_steps_follow_the_flow() -> None:
    for fields in ({}, {"gain": 0.25}, {"decay_general": 0.2, "decay_shallow": 0.05}):
        rivals = Rivals(N, 5, **fields)  # pyright: ignore[reportArgumentType]
        s, v = flow(rivals, [0.0, 10.0])
        mine, its = descent(rivals, "sgd", 0.002, [0, 5000])
        np.testing.assert_allclose((mine[-1, 0], its[-1, 0]), (s[-1], v[-1]), rtol=2e-3)


@pytest.mark.parametrize("d", [2, 3])
def test_a_general_circuit_of_several_layers_grows_as_a_product(d: int) -> None:
    """While no residual changes, u' = u^(d - 1) rho has a closed form in s = u^d (Saxe et al. 2014)."""
    rivals = Rivals(N, 10_000, factors=d, general=0.01, shallow=0.0)  # the residual stays near 1
    times = [0.0, 0.5, 1.0]
    s, _ = flow(rivals, times)
    rho = rivals.residual(s).min()
    assert rho > 0.999
    grown = [0.01 * np.exp(2 * t) if d == 2 else (0.01 ** (-1 / 3) - t) ** -3.0 for t in times]
    np.testing.assert_allclose(s, grown, rtol=5e-3)
    mine, _ = descent(rivals, "sgd", 1e-4, [0, 5_000, 10_000])
    np.testing.assert_allclose(mine[:, 0], s, rtol=2e-3)


def test_it_overtakes_where_the_lines_cross_and_only_if_it_was_behind() -> None:
    steps, v = [0, 2, 4], np.array([0.1, 0.1, 0.1])
    assert crossing(steps, np.array([0.0, 0.05, 0.15]), v) == pytest.approx(3.0)
    assert crossing(steps, np.array([0.2, 0.05, 0.15]), v) is None
    assert crossing(steps, np.array([0.0, 0.05, 0.09]), v) is None


def test_one_at_a_time_the_sum_of_pushes_counts_and_large_rare_ones_overshoot() -> None:
    def ratios(lr: float, **fields: Any) -> float:
        rivals = Rivals(N, 5, **fields)
        s, v = descent(rivals, "sgd", lr, [0, round(40 / lr)], batch_size=1, n_draws=200)
        return float(rivals.ratio(s, v)[-1].mean())

    assert ratios(0.05) == pytest.approx(16, rel=1e-6)
    assert ratios(0.05, gain=1 / N) == pytest.approx(1, rel=1e-6)
    assert ratios(0.05, share=1 / N) == pytest.approx(1, abs=0.03)
    assert ratios(0.05, share=1 / N, gain=float(N)) == pytest.approx(16, rel=0.08)


def test_signs_and_full_batch_adam_know_no_frequency() -> None:
    for rule in ("sign_sgd", "adamw"):
        s, v = descent(PLAIN, rule, 1e-3, [0, 200])
        assert PLAIN.ratio(s, v)[-1, 0] == pytest.approx(1, abs=1e-3)
        assert PLAIN.share_of_general(s, v)[-1, 0] == pytest.approx(0.5, abs=1e-3)


def test_adam_on_batches_has_exponents_from_one_to_none() -> None:
    k = [2**i for i in range(9)]
    full = adam_gains(k, 256, None, 50)
    np.testing.assert_allclose(full, 50, rtol=1e-5)  # a constant gradient: a step of 1 each
    single = adam_gains(k, 256, 1, 1500, n_draws=64)
    assert single[-1] == pytest.approx(1500, rel=1e-6)  # all examples: a constant gradient again
    local = local_exponents(k, single)
    assert 0.7 < local[1] < 1.15
    assert local[-1] == pytest.approx(0.5, abs=0.07)
    assert exponent(k, single) > exponent(k, adam_gains(k, 256, 32, 500)) > 0.02


def test_an_exponent_is_the_slope_of_a_power_law() -> None:
    k = np.array([1, 3, 10, 40.0])
    assert exponent(k, 2 * k**0.37) == pytest.approx(0.37)
    np.testing.assert_allclose(local_exponents(k, 2 * k**0.37), 0.37)
