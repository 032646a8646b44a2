"""Checkpoints: a model with TransformerLens's names, and all that is needed to train on from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from undergrowth.engine import initial
from undergrowth.models import Model, load_state_dict, state_dict
from undergrowth.plain_text import in_one_line
from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.errors import StoreError
from undergrowth.store.files import content, inside, is_regular
from undergrowth.store.layout import CONFIG, MODEL, TRAINING, checkpoint_folder, run_folder
from undergrowth.tasks import Data
from undergrowth.training.state import Curve, Snapshot, TrainState

NOW, GOOD = "now", "good"
BESIDE = ("knobs", "gates", "baselines", "frozen", "groups", "owners", "subspaces", "scales")
"""Fields of the state that are arrays by name; in a file as knobs/temperature and so on."""


def checkpoint_files(spec: RunSpec, snapshot: Snapshot) -> Iterator[tuple[Path, bytes]]:
    """The files of a checkpoint, by their path in the store."""
    folder = checkpoint_folder(spec.id, snapshot.step)
    yield folder / MODEL, save(_model_arrays(snapshot.state))
    yield folder / TRAINING, save(_training_arrays(snapshot.state))
    config = {
        "run_id": spec.id,
        "step": snapshot.step,
        "model": spec.model.model_dump(mode="json"),
        "d_vocab_out": spec.task.n_labels,
        "inputs": asdict(spec.task.input_space),
        "task": spec.task.describe(),
        **_history(snapshot),
        "spec": spec.model_dump(mode="json"),
    }
    yield folder / CONFIG, json.dumps(config, indent=2).encode()


def data_file(spec: RunSpec, data: Data) -> tuple[Path, bytes]:
    """The examples of a run, by the path in the store: every field of `Data` as an array."""
    arrays = {name: np.asarray(array, order="C") for name, array in vars(data).items()}
    return run_folder(spec.id) / "data.safetensors", save(arrays)


def load_model(root: Path, spec: RunSpec, step: int) -> Model:
    """The model of a checkpoint; raises StoreError where its file is not as it was written."""
    arrays = kept_arrays(root, spec.id, checkpoint_folder(spec.id, step) / MODEL)
    with _as_written(root, spec, step):
        return load_state_dict(initial(spec).state.model, arrays)


def load_snapshot(root: Path, spec: RunSpec, step: int, curves: Mapping[str, Curve]) -> Snapshot:
    """The run as it was at a checkpoint; `curves` are its scalar readings.

    Raises StoreError where a file of it is not as it was written.
    """
    folder = checkpoint_folder(spec.id, step)
    model, training = (kept_arrays(root, spec.id, folder / name) for name in (MODEL, TRAINING))
    config = kept(root, spec.id, folder / CONFIG)
    with _as_written(root, spec, step):
        return _snapshot(step, _state(spec, model, training), rows.parsed(config), curves)


def kept_arrays(root: Path, run_id: str, path: Path) -> dict[str, np.ndarray]:
    """The arrays in a stored file of a run; raises StoreError as `kept` does."""
    try:
        return load(kept(root, run_id, path))
    except SafetensorError as error:
        raise StoreError(f"{root / path} has no arrays ({error}): do not trust this store") from None


def kept(root: Path, run_id: str, path: Path) -> bytes:
    """A stored file of a run; raises StoreError where it is missing, or not as it was written."""
    sql = "SELECT sha256 FROM files WHERE run_id = ? AND path = ?"
    digests = {row["sha256"] for row in rows.query(root, sql, (run_id, str(path)))}
    place = inside(root, str(path))
    found = content(place) if is_regular(place) else None
    if found is None or hashlib.sha256(found).hexdigest() not in digests:
        raise StoreError(
            f"{root / path} is missing or damaged: train the run again into this store to repair it"
        )
    return found


@contextmanager
def _as_written(root: Path, spec: RunSpec, step: int) -> Iterator[None]:
    """Raise StoreError where what a checkpoint holds does not make the state of its run."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = in_one_line(str(error))[:120]
        raise StoreError(
            f"{root / checkpoint_folder(spec.id, step)} is not one of run {spec.id} ({reason}): "
            "do not trust this store"
        ) from None


def rolling_file(spec: RunSpec, snapshot: Snapshot) -> tuple[Path, bytes]:
    """A run as it stands in one file, which the next such file replaces, by the path in the store.

    Where it was not seen to be sound, the last snapshot that was is in the file too.
    """
    kept = {NOW: snapshot} | ({GOOD: snapshot.good} if snapshot.good else {})
    arrays = {f"{of}/{name}": a for of, one in kept.items() for name, a in _arrays(one).items()}
    history = {of: {"step": one.step, **_history(one)} for of, one in kept.items()}
    told = {"history": json.dumps(history), "digest": _digest(arrays, history)}
    return rolling_path(spec), save(arrays, metadata=told)


def rolling_path(spec: RunSpec) -> Path:
    """Where a run under way keeps how it stands, relative to the store."""
    return run_folder(spec.id) / "now.safetensors"


def load_rolling(root: Path, spec: RunSpec, curves: Mapping[str, Curve]) -> Snapshot | None:
    """The run as it last stood; None where there is no such file, or not as it was written."""
    try:
        path = inside(root, str(rolling_path(spec)))
        if not is_regular(path):
            return None
        with safe_open(path, "numpy") as file:
            told = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        history = json.loads(told["history"])
    except (OSError, StoreError, SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        return None
    if told.get("digest") != _digest(arrays, history):
        return None
    kept = {
        of: _snapshot(one["step"], _state(spec, _under("model", mine), mine), one, curves)
        for of, one in history.items()
        for mine in [_under(of, arrays)]
    }
    return replace(kept[NOW], good=kept.get(GOOD))


def _arrays(snapshot: Snapshot) -> dict[str, np.ndarray]:
    model = {f"model/{name}": array for name, array in _model_arrays(snapshot.state).items()}
    return model | _training_arrays(snapshot.state)


def _model_arrays(state: TrainState) -> dict[str, np.ndarray]:
    return {name: np.asarray(a, order="C") for name, a in state_dict(state.model).items()}


def _training_arrays(state: TrainState) -> dict[str, np.ndarray]:
    arrays = {f"optimiser/{name}": a for name, a in state_dict(state.opt_state).items()}
    for field in BESIDE:
        arrays |= {f"{field}/{name}": np.asarray(a) for name, a in getattr(state, field).items()}
    return {name: np.asarray(a, order="C") for name, a in arrays.items()}


def _state(spec: RunSpec, model: dict[str, np.ndarray], training: dict[str, np.ndarray]) -> TrainState:
    import jax.numpy as jnp

    blank = initial(spec).state
    beside = {
        field: {name: jnp.asarray(array) for name, array in _under(field, training).items()}
        for field in BESIDE
    }
    return TrainState(
        load_state_dict(blank.model, model),
        load_state_dict(blank.opt_state, _under("optimiser", training)),
        **beside,
    )


def _under(folder: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names begin with a folder's, by the rest of their names."""
    return {n.split("/", 1)[1]: a for n, a in arrays.items() if n.startswith(f"{folder}/")}


def _history(snapshot: Snapshot) -> dict[str, object]:
    by_position = {"fired": snapshot.fired, "inherited": snapshot.inherited}
    told = {key: {str(p): step for p, step in found.items()} for key, found in by_position.items()}
    return {**told, "forked_at": snapshot.forked_at}


def _snapshot(
    step: int, state: TrainState, history: Mapping[str, Any], curves: Mapping[str, Curve]
) -> Snapshot:
    fired, inherited = (
        {int(position): at for position, at in history[key].items()} for key in ("fired", "inherited")
    )
    until = {name: [point for point in curve if point[0] <= step] for name, curve in curves.items()}
    return Snapshot(step, state, fired, until, history["forked_at"], inherited)


def _digest(arrays: Mapping[str, np.ndarray], history: Mapping[str, object]) -> str:
    hasher = hashlib.sha256(json.dumps(history, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        hasher.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return hasher.hexdigest()
