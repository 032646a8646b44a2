"""Checkpoints: a model with TransformerLens's names, and all that is needed to train on from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from undergrowth.models import Model, load_state_dict, state_dict
from undergrowth.spec import RunSpec
from undergrowth.store.layout import checkpoint_folder, run_folder
from undergrowth.tasks import Data
from undergrowth.training.engine import Snapshot, TrainState, initial

MODEL, TRAINING, CONFIG = "model.safetensors", "training.safetensors", "config.json"


def checkpoint_files(spec: RunSpec, snapshot: Snapshot) -> Iterator[tuple[Path, bytes]]:
    """The files of a checkpoint, by their path in the store."""
    folder = checkpoint_folder(spec.id, snapshot.step)
    arrays = state_dict(snapshot.state.model)
    yield folder / MODEL, save({name: np.asarray(a, order="C") for name, a in arrays.items()})
    optimiser = state_dict(snapshot.state.opt_state)
    yield folder / TRAINING, save({name: np.asarray(a, order="C") for name, a in optimiser.items()})
    config = {
        "run_id": spec.id,
        "step": snapshot.step,
        "model": spec.model.model_dump(mode="json"),
        "d_vocab_out": spec.task.n_labels,
        "inputs": asdict(spec.task.input_space),
        "task": spec.task.describe(),
        "fired": {str(position): step for position, step in snapshot.fired.items()},
        "spec": spec.model_dump(mode="json"),
    }
    yield folder / CONFIG, json.dumps(config, indent=2).encode()


def data_file(spec: RunSpec, data: Data) -> tuple[Path, bytes]:
    """The examples, labels and split of a run, by the path in the store."""
    arrays = {"inputs": data.inputs, "labels": data.labels, "is_train": data.is_train}
    content = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    return run_folder(spec.id) / "data.safetensors", content


def load_model(root: Path, spec: RunSpec, step: int) -> Model:
    """The model of a checkpoint."""
    arrays = load_file(root / checkpoint_folder(spec.id, step) / MODEL)
    return load_state_dict(initial(spec).state.model, arrays)


def load_snapshot(
    root: Path, spec: RunSpec, step: int, curves: Mapping[str, list[tuple[int, float]]]
) -> Snapshot:
    """The run as it was at a checkpoint; `curves` are the scalar readings up to it."""
    folder = root / checkpoint_folder(spec.id, step)
    blank = initial(spec).state
    state = TrainState(
        load_state_dict(blank.model, load_file(folder / MODEL)),
        load_state_dict(blank.opt_state, load_file(folder / TRAINING)),
    )
    fired = json.loads((folder / CONFIG).read_text())["fired"]
    return Snapshot(step, state, {int(i): at for i, at in fired.items()}, curves)
