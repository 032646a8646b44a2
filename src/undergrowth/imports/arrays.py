"""Arrays by our names, made of arrays by others': which is which, and how axes are laid out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

import numpy as np

from undergrowth.imports.errors import ForeignFileError
from undergrowth.values import Value

AXIS = r"[A-Za-z_][A-Za-z0-9_]*"
SIDE = re.compile(rf"\s*((\({AXIS}(\s+{AXIS})*\)|{AXIS})\s*)+")


class Taken(Value):
    """An array of a file, as it becomes one of ours.

    name: the file's name of it. axes: `theirs -> ours`, names of axes in order, with axes that lie in
    one in parentheses, as in `d_model (head d_head) -> head d_head d_model`; empty where both are alike.
    part: of what comes of that, which entry along the first axis, where several of ours lie in one.
    """

    name: str
    axes: str = ""
    part: int | None = None


def taken(
    arrays: Mapping[str, np.ndarray], table: Mapping[str, Taken], sizes: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """float32 arrays by our names; sizes: the lengths of axes that are known.

    Raises ForeignFileError where one is missing or has another shape.
    """
    found = {}
    for ours, entry in table.items():
        if not isinstance(arrays.get(entry.name), np.ndarray):
            raise ForeignFileError(f"there is no array {entry.name!r}, which would become {ours}")
        array = arrays[entry.name]
        if entry.axes:
            array = rearranged(array, entry.axes, sizes)
        if entry.part is not None:
            if not array.ndim or not 0 <= entry.part < len(array):
                raise ForeignFileError(f"{entry.name} has no part {entry.part}, which would be {ours}")
            array = array[entry.part]
        if array.dtype.kind != "f":
            raise ForeignFileError(
                f"{entry.name} is of {array.dtype}, and {ours} is made of real numbers"
            )
        found[ours] = np.array(array, np.float32, order="C")
    return found


def rearranged(array: np.ndarray, axes: str, sizes: Mapping[str, int]) -> np.ndarray:
    """An array with its axes split, moved and joined, as `axes` says; see `Taken`.

    sizes: lengths of axes; of those that lie in one, all but one must be known.

    >>> rearranged(np.arange(6).reshape(2, 3), "row column -> column row", {}).tolist()
    [[0, 3], [1, 4], [2, 5]]
    >>> rearranged(np.arange(4)[None], "x (head d) -> head d x", {"head": 2}).shape
    (2, 2, 1)
    """
    sides = axes.split("->")
    if len(sides) != 2 or not all(SIDE.fullmatch(side) for side in sides):
        raise ForeignFileError(
            f"axes = {axes!r}: write theirs -> ours, such as 'd_mlp d_model -> d_model d_mlp'"
        )
    theirs, ours = map(_groups, sides)
    before, after = ([axis for group in side for axis in group] for side in (theirs, ours))
    if len(set(before)) != len(before) or sorted(before) != sorted(after):
        raise ForeignFileError(f"axes = {axes!r}: each axis stands once on either side")
    if len(theirs) != array.ndim:
        raise ForeignFileError(f"axes = {axes!r} has {len(theirs)} axes, and the array {array.shape}")
    lengths: dict[str, int] = {}
    for group, length in zip(theirs, array.shape, strict=True):
        lengths |= _lengths(group, length, sizes, axes)
    apart = array.reshape([lengths[axis] for axis in before])
    moved = apart.transpose([before.index(axis) for axis in after])
    return moved.reshape([prod(lengths[axis] for axis in group) for group in ours])


def _groups(side: str) -> list[list[str]]:
    """The axes of each dimension of an array."""
    return [re.findall(AXIS, group) for group in re.findall(rf"\([^)]*\)|{AXIS}", side)]


def _lengths(group: list[str], length: int, sizes: Mapping[str, int], axes: str) -> dict[str, int]:
    known = {axis: sizes[axis] for axis in group if axis in sizes}
    open_ = [axis for axis in group if axis not in known]
    rest, left = divmod(length, prod(known.values()) or 1)
    if len(open_) > 1 or left or (not open_ and rest != 1):
        told = ", ".join(f"{axis} = {known[axis]}" if axis in known else axis for axis in group)
        raise ForeignFileError(f"axes = {axes!r}: {told} does not come to {length}")
    return {**known, **dict.fromkeys(open_, rest)}
