"""A store whose rows a test writes one by one, as a worker does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from undergrowth.measures import Reading
from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.kept import Kept
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.store.parts import Part, part_row

SPEC = tiny.spec(steps=100)
CURVES = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")


class Planted:
    """A store that is being written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.open: dict[str, Kept] = {}
        self.lock = ExitStack()
        create(root)
        self.lock.enter_context(writing(root))

    def kept(self, name: str = "worker-0") -> Kept:
        if name not in self.open:
            self.open[name] = Kept(self.root, name)
        return self.open[name]

    def account(
        self,
        spec: RunSpec,
        status: str = "running",
        message: str = "",
        at: str = "worker-0",
        **more: float,
    ) -> None:
        """How a run stands; began and ended may be given."""
        began, ended = more.get("began", 100.0), more.get("ended")
        row = rows.run_row(spec.id, spec.model_dump_json(), status, message, began, ended, "{}")
        self.kept(at).insert("runs", [row])

    def point(
        self,
        spec: RunSpec,
        step: int,
        accuracy: tuple[float, float] = (0.5, 0.25),
        loss: tuple[float, float] = (1.0, 2.0),
        at: str = "worker-0",
    ) -> None:
        """What `curves` reads at a step, in one commit."""
        values = zip(CURVES, (*accuracy, *loss), strict=True)
        readings = [(name, Reading((), np.array(value, np.float32))) for name, value in values]
        new = [rows.reading_row(spec.id, name, step, reading) for name, reading in readings]
        self.kept(at).insert("readings", new)

    def event(self, spec: RunSpec, step: int, kind: str, detail: dict) -> None:
        self.kept().insert("events", [rows.event_row(spec.id, step, kind, detail)])

    def part(self, run_id: str, arm: str, seed: int = 0) -> None:
        part = Part("grokking", "quick", arm, "main", seed)
        self.kept("names").insert("parts", [part_row(run_id, part)])

    def close(self) -> None:
        """Close in order, as a sweep does when it has ended."""
        for kept in self.open.values():
            kept.close()
        self.open.clear()
        self.lock.close()

    def die(self) -> None:
        """Let go of the lock and leave the databases open, as the system does for a killed writer."""
        self.lock.close()


PATIENCE = 120.0
"""Seconds until a test gives up on what it waits for."""


def eventually(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Planted]:
    store = Planted(tmp_path / "store")
    yield store
    for kept in store.open.values():
        kept.connection.close()
    store.lock.close()
