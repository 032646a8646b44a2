"""undergrowth: why and when gradient descent replaces many shallow circuits by few general ones.

    import undergrowth as ug

    spec = ug.RunSpec(task=ug.Modular(p=53), optimiser=ug.AdamW(lr=2e-3, weight_decay=2.0))
    store = ug.train([spec.seeded(0)], out="runs/first")
    store.runs[0]["val_accuracy"]            # an xarray, dim (step)
    ug.accuracy_figure(store.runs).show()

Names are imported when they are first used, so that the command line starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from undergrowth.analysis import Rules, effective_number, events, gini, skewness
    from undergrowth.measures import Curves, Deletion, Norms, Saliency, attribute, baselines
    from undergrowth.models import Ablated, MLPSpec, TransformerSpec, TwoTokenMLPSpec, gated, recording
    from undergrowth.report.ablation import deletion_by_k_figure, deletion_over_steps_figure
    from undergrowth.report.curves import accuracy_figure, loss_figure
    from undergrowth.report.saliency import (
        breadth_figure,
        concentration_figure,
        saliency_histogram,
    )
    from undergrowth.spec import RunSpec, Seeds, SpecError
    from undergrowth.store import Run, Store, StoreError, together, verify
    from undergrowth.studies import STUDIES
    from undergrowth.sweep import Layout, SweepError, train
    from undergrowth.tasks import CommutationSafe, Group, LeakyRandom, Modular
    from undergrowth.training.batches import FullBatch, MiniBatch
    from undergrowth.training.interventions import (
        AtStep,
        Intervention,
        NoOp,
        ScaleLearningRate,
        SetWeightDecay,
        WhenCrosses,
    )
    from undergrowth.training.optimisers import SGD, AdamW
    from undergrowth.training.schedules import Schedule

__version__ = "0.1.0"

_HOMES = {
    "undergrowth.analysis": ("Rules", "effective_number", "events", "gini", "skewness"),
    "undergrowth.measures": (
        "Curves",
        "Deletion",
        "Norms",
        "Saliency",
        "attribute",
        "baselines",
    ),
    "undergrowth.models": (
        "Ablated",
        "MLPSpec",
        "TransformerSpec",
        "TwoTokenMLPSpec",
        "gated",
        "recording",
    ),
    "undergrowth.report.ablation": ("deletion_by_k_figure", "deletion_over_steps_figure"),
    "undergrowth.report.curves": ("accuracy_figure", "loss_figure"),
    "undergrowth.report.saliency": (
        "breadth_figure",
        "concentration_figure",
        "saliency_histogram",
    ),
    "undergrowth.spec": ("RunSpec", "Seeds", "SpecError"),
    "undergrowth.store": ("Run", "Store", "StoreError", "together", "verify"),
    "undergrowth.studies": ("STUDIES",),
    "undergrowth.sweep": ("Layout", "SweepError", "train"),
    "undergrowth.tasks": ("CommutationSafe", "Group", "LeakyRandom", "Modular"),
    "undergrowth.training.batches": ("FullBatch", "MiniBatch"),
    "undergrowth.training.interventions": (
        "AtStep",
        "Intervention",
        "NoOp",
        "ScaleLearningRate",
        "SetWeightDecay",
        "WhenCrosses",
    ),
    "undergrowth.training.optimisers": ("SGD", "AdamW"),
    "undergrowth.training.schedules": ("Schedule",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "SGD",
    "STUDIES",
    "Ablated",
    "AdamW",
    "AtStep",
    "CommutationSafe",
    "Curves",
    "Deletion",
    "FullBatch",
    "Group",
    "Intervention",
    "Layout",
    "LeakyRandom",
    "MLPSpec",
    "MiniBatch",
    "Modular",
    "NoOp",
    "Norms",
    "Rules",
    "Run",
    "RunSpec",
    "Saliency",
    "ScaleLearningRate",
    "Schedule",
    "Seeds",
    "SetWeightDecay",
    "SpecError",
    "Store",
    "StoreError",
    "SweepError",
    "TransformerSpec",
    "TwoTokenMLPSpec",
    "WhenCrosses",
    "accuracy_figure",
    "attribute",
    "baselines",
    "breadth_figure",
    "concentration_figure",
    "deletion_by_k_figure",
    "deletion_over_steps_figure",
    "effective_number",
    "events",
    "gated",
    "gini",
    "loss_figure",
    "open",
    "recording",
    "saliency_histogram",
    "skewness",
    "together",
    "train",
    "verify",
]


def open(root: str) -> Store:
    """A store's runs, readings, events and checkpoints; it may be in use by a writer."""
    from undergrowth.store import Store

    return Store(root)


def __getattr__(name: str) -> object:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'undergrowth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
