"""What each weight reads, and where what it writes can be shifted: a gradient for every example.

With a *write hook* a textbook pass (`Model.plain`) calls it wherever weights write something: with what
is written and, by the names of those weights, with what each of them reads. A weight matrix reads what
it multiplies; a bias reads nothing, which is None; a vector of scales reads what it scales. Every array
is [example, ...] or [example, position, ...], so the gradient of one example's loss with respect to a
matrix is the sum over positions of what is read there times the slope at what is written there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jaxtyping import Array

Reads = Mapping[str, Array | None]
WriteHook = Callable[[Array, Reads], Array]


def no_write_hook(written: Array, reads: Reads) -> Array:
    """The write hook that changes nothing."""
    return written


def within(part: str, write_hook: WriteHook) -> WriteHook:
    """The write hook of a part of a model, which names its weights without the part's own name."""
    return lambda written, reads: write_hook(written, {f"{part}.{n}": read for n, read in reads.items()})
