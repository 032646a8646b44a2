"""A run with one checkpoint, of any model and with every number drawn, without training it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests import tiny
from undergrowth.engine.facts import Saved
from undergrowth.models import AnyModel
from undergrowth.spec import RunSpec
from undergrowth.store import Run, Store
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.store.writer import Writer
from undergrowth.tasks import AnyTask, Features, Modular
from undergrowth.training.state import Snapshot, TrainState

ON_PAIRS = Modular(p=tiny.P)


def checkpoint_of(model: AnyModel, task: AnyTask = ON_PAIRS) -> tuple[Run, Any]:
    """A stored run with this model's numbers at step 0, and the model; by default on x + y mod 5."""
    spec = RunSpec(task=task, model=model, steps=1)
    reads = task.input_space
    size = {"n_features": reads.n_features} if isinstance(reads, Features) else {}
    n_operands = 0 if isinstance(reads, Features) else reads.n_operands
    made = tiny.made(model, n_operands, task.n_labels, seed=3, **size)
    opt_state = spec.optimiser.build().init(made)
    state = TrainState(made, opt_state, {}).with_knobs(temperature=spec.temperature)
    root = Path(tempfile.mkdtemp()) / "store"
    create(root)
    with writing(root):
        writer = Writer(root, "made")
        writer.begin(spec)
        writer.write(spec, Saved(Snapshot(0, state)))
        writer.close()
    return Store(root).run(spec.id), made
