"""A worker in this process, which can be killed at a step without a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from undergrowth.measures import Curves
from undergrowth.spec import RunSpec
from undergrowth.store.layout import create
from undergrowth.store.writer import Writer
from undergrowth.sweep.worker import train_handed


class KilledError(OSError):
    """Stands for a kill: like a full disk, it ends the worker where it is."""


def work(
    root: Path,
    specs: Sequence[RunSpec],
    branches: dict[str, list[Any]] | None = None,
    *,
    keep_every: float = 1e9,
    answer: Callable[..., None] = lambda **_: None,
) -> None:
    """What a worker does with an order, up to its end or until it is killed."""
    create(root)
    writer = Writer(root, "worker-0")
    told = {spec.id: [] for spec in specs} | (branches or {})
    try:
        with suppress(KilledError):
            train_handed(writer, specs, told, answer, keep_every)
    finally:
        writer.kept.connection.close()


@contextmanager
def killed_at(measurement: int) -> Iterator[None]:
    """A kill as the curves are read for the n-th time, counted from 0."""
    observe, count = Curves.observe, iter(range(10**6))

    def killed(*args: Any, **kwargs: Any) -> Any:
        if next(count) == measurement:
            raise KilledError
        return observe(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Curves, "observe", killed)
        yield
