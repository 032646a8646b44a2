"""A checkpoint as a folder that a program of its own loads: weights, configuration, examples, logits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from undergrowth.models import TransformerSpec, state_dict
from undergrowth.models.prompts import SPECIAL, positions
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.checkpoints import kept
from undergrowth.store.layout import run_folder
from undergrowth.tasks import Tokens

MOST_EXAMPLES = 512
"""Examples of which the folder has the logits."""

Arrays = Mapping[str, np.ndarray]


def write_checkpoint(
    run: Run, step: int, folder: Path, loader: str, told: Mapping[str, Any], added: Arrays | None = None
) -> None:
    """Write the model of a run at a step.

    `model.safetensors` has its weights, with the package's names and shapes, and those `added`;
    `config.json` its spec and what is `told`; `data.safetensors` the examples and the split;
    `logits.safetensors` what the package computes of up to 512 examples; and `load.py`, the `loader` of
    that name, makes the model and compares.
    """
    import jax.numpy as jnp

    model = run.model(step)
    examples = run.spec.data().inputs
    chosen = np.unique(np.linspace(0, len(examples) - 1, MOST_EXAMPLES).astype(int))
    inputs = np.asarray(examples)[chosen]
    logits = np.asarray(model(jnp.asarray(inputs)))
    weights = {**state_dict(model), **(added or {})}
    _put(folder / "model.safetensors", save({name: _plain(array) for name, array in weights.items()}))
    _put(folder / "logits.safetensors", save({"inputs": _plain(inputs), "logits": _plain(logits)}))
    data = run_folder(run.id) / "data.safetensors"
    _put(folder / "data.safetensors", kept(run.store.root, run.id, data))
    config = {**_about(run.spec, step), **told, "spec": run.spec.model_dump(mode="json")}
    _put(folder / "config.json", (json.dumps(config, indent=2) + "\n").encode())
    _put(folder / "load.py", _program(loader))


def prompt_of(spec: RunSpec, its: TransformerSpec) -> dict[str, Any]:
    """A transformer's `prompt`, at each position `x`, `y`, or the number of a token; and the number of
    the token that is the operand 0 as y.
    """
    n_operands = spec.task.input_space.n_operands  # type: ignore[union-attr]
    first_of_y = 0 if its.operand_embeddings == "shared" else n_operands
    prompt = [
        "xy"[token] if isinstance(token, int) else n_operands + first_of_y + SPECIAL.index(token)
        for token in positions(its.prompt)
    ]
    return {"prompt": prompt, "first_of_y": first_of_y}


def _about(spec: RunSpec, step: int) -> dict[str, Any]:
    reads = spec.task.input_space
    return {
        "run": spec.id,
        "step": step,
        "task": spec.task.describe(),
        "model": spec.model.model_dump(mode="json"),
        "reads": "tokens" if isinstance(reads, Tokens) else "numbers",
        **asdict(reads),
        "n_labels": spec.task.n_labels,
    }


def _program(loader: str) -> bytes:
    """The program that loads: how this kind of model is built, then what all have."""
    parts = (files("undergrowth.exports") / "loaders" / f"{name}.py.txt" for name in (loader, "check"))
    return "\n\n".join(part.read_text(encoding="utf-8").rstrip("\n") for part in parts).encode() + b"\n"


def _plain(array: np.ndarray) -> np.ndarray:
    return np.array(array, order="C")


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
