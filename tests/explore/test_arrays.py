"""What a page carries is what was stored, within what it says."""

from __future__ import annotations

import base64
import gzip

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tests.explore.unpacking import unpacked
from undergrowth.explore.arrays import Frames, packed

STEPS = np.array([0, 1, 10])


def frames(values: np.ndarray, kind: str = "i1", name: str = "it") -> Frames:
    axes = tuple("abc"[: values.ndim - 1])
    return Frames(name, "0" * 16, 0, np.arange(len(values)), values, axes, kind=kind)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-20, 1e-3, 1.0, 1e6]))
def test_int8_is_off_by_half_of_a_127th_of_the_largest_of_its_frame(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(5, 7, 3)) * size).astype(np.float32)
    values[2] = 0
    values[rng.random(values.shape) < 0.1] = np.nan
    its = frames(values)
    (found,) = unpacked(packed([its]), [its.described()])
    assert np.array_equal(np.isnan(found), np.isnan(values))
    largest = np.nan_to_num(np.nanmax(np.abs(np.nan_to_num(values)), axis=(1, 2)))
    off = np.nan_to_num(np.abs(found - values)).max(axis=(1, 2))
    assert (off <= largest / 254 * (1 + 1e-4)).all()
    assert np.allclose(its.quantum[largest > 0], largest[largest > 0] / 254, rtol=1e-6)


def test_float32_is_exact_and_arrays_stand_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    first, second, third = rng.normal(size=(3, 5)), rng.normal(size=(3,)), rng.normal(size=(3, 2))
    arrays = [
        frames(first),
        frames(second.astype(np.float32), "f4"),
        frames(third.astype(np.float32), "f4"),
    ]
    found = unpacked(packed(arrays), [each.described() for each in arrays])
    assert np.array_equal(found[1], second.astype(np.float32))
    assert np.array_equal(found[2], third.astype(np.float32))
    assert not arrays[1].quantum.any()


def test_equal_arrays_pack_to_equal_bytes_and_right_and_wrong_are_exact() -> None:
    right = (np.random.default_rng(1).random((4, 9)) < 0.5).astype(np.float32)
    assert packed([frames(right)]) == packed([frames(right.copy())])
    (found,) = unpacked(packed([frames(right)]), [frames(right).described()])
    assert np.array_equal(found > 0.5, right > 0.5)
    assert (
        gzip.decompress(base64.b64decode(packed([frames(right)])))[:4] == np.float32(1 / 127).tobytes()
    )


def test_values_that_do_not_fit_their_steps_are_refused_in_one_line() -> None:
    with pytest.raises(
        ValueError, match=r"it: \(2, 3\) is not one number for each of 3 steps"
    ) as refused:
        Frames("it", "0" * 16, 0, STEPS, np.zeros((2, 3)), ("a",))
    assert "\n" not in str(refused.value)
