"""Arrays as a page carries them: by step, as int8 with a scale a step or as float32, deflated."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["i1", "f4"]
MISSING = -128
"""What stands in int8 where there is no number."""
LARGEST = 127


@dataclass(frozen=True, eq=False)
class Frames:
    """One reading of one run at its steps, as a scene draws it.

    name: what the drawing calls it; run: the id; steps: ascending, those of `values` [step, ...]; axes:
    the names of the other axes; labels: by axis what its places are called, 0, 1, ... where it is not
    there; kind: `f4` keeps float32 as it is; `i1` rounds to 1/127 of the largest size in the same frame,
    so what is shown is off by half of that, `quantum`, at most.
    """

    name: str
    run: str
    seed: int
    steps: np.ndarray
    values: np.ndarray
    axes: tuple[str, ...] = ()
    labels: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    kind: Kind = "f4"

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values) or self.values.ndim != 1 + len(self.axes):
            raise ValueError(
                f"{self.name}: {self.values.shape} is not one number for each of {len(self.steps)} "
                f"steps and axes {self.axes}: give values [step, {', '.join(self.axes)}]"
            )

    @property
    def scales(self) -> np.ndarray:
        """What 1 is worth in each frame of int8, float32 [step]; 1 where a frame is all 0."""
        flat = np.abs(self.values.reshape(len(self.values), -1).astype(np.float64))
        largest = np.nan_to_num(np.nanmax(np.where(np.isfinite(flat), flat, 0.0), axis=1))
        return np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)

    @property
    def quantum(self) -> np.ndarray:
        """By how much a shown number may be off, [step]; 0 of float32."""
        return self.scales / 2 if self.kind == "i1" else np.zeros(len(self.values), np.float32)

    def to_bytes(self) -> bytes:
        """float32; or the scales, then each frame of int8 less the one before it, modulo 256."""
        if self.kind == "f4":
            return np.ascontiguousarray(self.values, "<f4").tobytes()
        scales = self.scales
        of_frame = scales.reshape(-1, *(1,) * len(self.axes)).astype(np.float64)
        known = np.isfinite(self.values)
        rounded = np.rint(np.where(known, self.values, 0.0) / of_frame)
        whole = np.where(known, np.clip(rounded, -LARGEST, LARGEST), MISSING).astype(np.int8)
        differences = np.diff(whole.view(np.uint8), axis=0, prepend=np.uint8(0))
        return scales.astype("<f4").tobytes() + differences.tobytes()

    def described(self) -> dict[str, Any]:
        """What the page has to know to read the bytes, as plain data."""
        return {
            "name": self.name,
            "run": self.run,
            "seed": self.seed,
            "kind": self.kind,
            "steps": [int(step) for step in self.steps],
            "axes": list(self.axes),
            "shape": list(self.values.shape[1:]),
            "labels": {axis: list(labels) for axis, labels in self.labels},
        }


def packed(arrays: Sequence[Frames]) -> str:
    """Arrays one after the other as gzip in base64, equal for equal arrays."""
    whole = b"".join(_aligned(frames.to_bytes()) for frames in arrays)
    return base64.b64encode(gzip.compress(whole, 9, mtime=0)).decode("ascii")


def _aligned(data: bytes) -> bytes:
    """At a multiple of four bytes, where float32 has to begin."""
    return data + bytes(-len(data) % 4)
