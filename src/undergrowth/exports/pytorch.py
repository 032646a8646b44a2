"""PyTorch: a checkpoint with a module of its own that needs torch and safetensors, and nothing else."""

from __future__ import annotations

from pathlib import Path

from undergrowth.exports.checkpoint import prompt_of, write_checkpoint
from undergrowth.exports.format import ExportError, OfCheckpoint
from undergrowth.models import MLPSpec, TransformerSpec, TwoTokenMLPSpec
from undergrowth.store import Run

LOADERS = {
    TransformerSpec: "torch_transformer",
    MLPSpec: "torch_mlp",
    TwoTokenMLPSpec: "torch_two_token_mlp",
}


def write(run: Run, step: int, folder: Path) -> None:
    """Write weights and `load.py`: `load()` in it is the model, an nn.Module from inputs to logits whose
    parameters have the package's names; `python load.py` compares its logits with the package's.

    Raises ExportError for a kind of model that has no such module.
    """
    its = run.spec.model
    loader = LOADERS.get(type(its))
    if loader is None:
        names = ", ".join(kind.model_fields["name"].default for kind in LOADERS)
        raise ExportError(
            f"run {run.id}: there is no PyTorch module of {its.name!r}, only of {names}: "
            f"read its weights from {run.checkpoint_path(step)}"
        )
    told = prompt_of(run.spec, its) if isinstance(its, TransformerSpec) else {}
    write_checkpoint(run, step, folder, loader, told)


FORMAT = OfCheckpoint("a checkpoint with a self-contained nn.Module", write)
