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

from undergrowth.version import __version__ as __version__

if TYPE_CHECKING:
    from undergrowth import measures
    from undergrowth.analysis import (
        Rules,
        across,
        against_matched,
        coincidence,
        effective_number,
        events,
        gini,
        hoyer,
        matched_windows,
        number_holding,
        resampled,
        skewness,
        spikes,
        who_flips,
    )
    from undergrowth.gating import (
        Sampling,
        attribute,
        baselines,
        conductance,
        joint_ablation,
        shapley_values,
        site_of,
    )
    from undergrowth.measures import (
        Alignment,
        Areas,
        Carriers,
        Coherence,
        Collapse,
        ComponentNorms,
        Confidence,
        Curves,
        Deletion,
        ExpectedReturn,
        Fourier,
        Generality,
        Kernel,
        Ledger,
        LocalLearningCoefficient,
        Norms,
        Representations,
        Saliency,
        Shapley,
        Sharpness,
        Swaps,
        TableMap,
        areas_of,
    )
    from undergrowth.models import Ablated, MLPSpec, TransformerSpec, TwoTokenMLPSpec, gated, recording
    from undergrowth.report.ablation import deletion_by_k_figure, deletion_over_steps_figure
    from undergrowth.report.curves import accuracy_figure, loss_figure
    from undergrowth.report.saliency import breadth_figure, concentration_figure, saliency_histogram
    from undergrowth.report.spikes import spikes_figure
    from undergrowth.schedules import Schedule, Window
    from undergrowth.spec import Fork, RunSpec, Seeds, SpecError
    from undergrowth.spec.file import read_runs
    from undergrowth.spec.presets import PRESETS, preset
    from undergrowth.store import Run, Store, StoreError, together, verify
    from undergrowth.studies import STUDIES
    from undergrowth.sweep import Layout, SweepError, train
    from undergrowth.sweep.measuring import measure
    from undergrowth.sweep.replaying import replay
    from undergrowth.tasks import (
        Characters,
        CommutationSafe,
        Digits,
        Equal,
        FeatureTable,
        Given,
        Gridworld,
        Group,
        LeakyRandom,
        Modular,
        OfNoisy,
        PowerLaw,
        SparseParity,
        Table,
        WholeGroups,
    )
    from undergrowth.training.batches import Blocked, FullBatch, MiniBatch, WithReplacement
    from undergrowth.training.interventions import (
        Ablate,
        AfterFork,
        AfterIntervention,
        Anneal,
        AtStep,
        ClampNorm,
        Components,
        Freeze,
        FreezeParameters,
        Intervention,
        Kick,
        NoOp,
        OnOnset,
        RescaleNorm,
        ResetMoments,
        ScaleGradient,
        ScaleLearningRate,
        SetBatch,
        SetData,
        SetNoise,
        SetTemperature,
        SetWeightDecay,
        WhenCrosses,
    )
    from undergrowth.training.noise import Noise
    from undergrowth.training.optimisers import (
        SGD,
        Adam,
        AdamW,
        Cosine,
        GrokfastEMA,
        Muon,
        OrthogonalGradient,
        SignSGD,
    )

_HOMES = {
    "undergrowth.analysis": (
        "Rules",
        "across",
        "against_matched",
        "coincidence",
        "effective_number",
        "events",
        "gini",
        "hoyer",
        "matched_windows",
        "number_holding",
        "resampled",
        "skewness",
        "spikes",
        "who_flips",
    ),
    "undergrowth.gating": (
        "Sampling",
        "attribute",
        "baselines",
        "conductance",
        "joint_ablation",
        "shapley_values",
        "site_of",
    ),
    "undergrowth.measures": (
        "Alignment",
        "Areas",
        "Carriers",
        "Coherence",
        "Collapse",
        "ComponentNorms",
        "Confidence",
        "Curves",
        "Deletion",
        "ExpectedReturn",
        "Fourier",
        "Generality",
        "Kernel",
        "Ledger",
        "LocalLearningCoefficient",
        "Norms",
        "Representations",
        "Saliency",
        "Shapley",
        "Sharpness",
        "Swaps",
        "TableMap",
        "areas_of",
    ),
    "undergrowth.models": (
        "Ablated",
        "MLPSpec",
        "TransformerSpec",
        "TwoTokenMLPSpec",
        "gated",
        "recording",
    ),
    "undergrowth.spec.presets": (
        "PRESETS",
        "preset",
    ),
    "undergrowth.report.ablation": (
        "deletion_by_k_figure",
        "deletion_over_steps_figure",
    ),
    "undergrowth.report.curves": (
        "accuracy_figure",
        "loss_figure",
    ),
    "undergrowth.report.saliency": (
        "breadth_figure",
        "concentration_figure",
        "saliency_histogram",
    ),
    "undergrowth.report.spikes": ("spikes_figure",),
    "undergrowth.spec": (
        "Fork",
        "RunSpec",
        "Seeds",
        "SpecError",
    ),
    "undergrowth.spec.file": ("read_runs",),
    "undergrowth.store": (
        "Run",
        "Store",
        "StoreError",
        "together",
        "verify",
    ),
    "undergrowth.studies": ("STUDIES",),
    "undergrowth.sweep": (
        "Layout",
        "SweepError",
        "train",
    ),
    "undergrowth.sweep.measuring": ("measure",),
    "undergrowth.sweep.replaying": ("replay",),
    "undergrowth.tasks": (
        "Characters",
        "CommutationSafe",
        "Digits",
        "Equal",
        "FeatureTable",
        "Given",
        "Gridworld",
        "Group",
        "LeakyRandom",
        "Modular",
        "OfNoisy",
        "PowerLaw",
        "SparseParity",
        "Table",
        "WholeGroups",
    ),
    "undergrowth.training.batches": (
        "Blocked",
        "FullBatch",
        "MiniBatch",
        "WithReplacement",
    ),
    "undergrowth.training.interventions": (
        "Ablate",
        "AfterFork",
        "AfterIntervention",
        "Anneal",
        "AtStep",
        "ClampNorm",
        "Components",
        "Freeze",
        "FreezeParameters",
        "Intervention",
        "Kick",
        "NoOp",
        "OnOnset",
        "RescaleNorm",
        "ResetMoments",
        "ScaleGradient",
        "ScaleLearningRate",
        "SetBatch",
        "SetData",
        "SetNoise",
        "SetTemperature",
        "SetWeightDecay",
        "WhenCrosses",
    ),
    "undergrowth.training.noise": ("Noise",),
    "undergrowth.training.optimisers": (
        "SGD",
        "Adam",
        "AdamW",
        "Cosine",
        "GrokfastEMA",
        "Muon",
        "OrthogonalGradient",
        "SignSGD",
    ),
    "undergrowth.schedules": (
        "Schedule",
        "Window",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PRESETS",
    "SGD",
    "STUDIES",
    "Ablate",
    "Ablated",
    "Adam",
    "AdamW",
    "AfterFork",
    "AfterIntervention",
    "Alignment",
    "Anneal",
    "Areas",
    "AtStep",
    "Blocked",
    "Carriers",
    "Characters",
    "ClampNorm",
    "Coherence",
    "Collapse",
    "CommutationSafe",
    "ComponentNorms",
    "Components",
    "Confidence",
    "Cosine",
    "Curves",
    "Deletion",
    "Digits",
    "Equal",
    "ExpectedReturn",
    "FeatureTable",
    "Fork",
    "Fourier",
    "Freeze",
    "FreezeParameters",
    "FullBatch",
    "Generality",
    "Given",
    "Gridworld",
    "GrokfastEMA",
    "Group",
    "Intervention",
    "Kernel",
    "Kick",
    "Layout",
    "LeakyRandom",
    "Ledger",
    "LocalLearningCoefficient",
    "MLPSpec",
    "MiniBatch",
    "Modular",
    "Muon",
    "NoOp",
    "Noise",
    "Norms",
    "OfNoisy",
    "OnOnset",
    "OrthogonalGradient",
    "PowerLaw",
    "Representations",
    "RescaleNorm",
    "ResetMoments",
    "Rules",
    "Run",
    "RunSpec",
    "Saliency",
    "Sampling",
    "ScaleGradient",
    "ScaleLearningRate",
    "Schedule",
    "Seeds",
    "SetBatch",
    "SetData",
    "SetNoise",
    "SetTemperature",
    "SetWeightDecay",
    "Shapley",
    "Sharpness",
    "SignSGD",
    "SparseParity",
    "SpecError",
    "Store",
    "StoreError",
    "Swaps",
    "SweepError",
    "Table",
    "TableMap",
    "TransformerSpec",
    "TwoTokenMLPSpec",
    "WhenCrosses",
    "WholeGroups",
    "Window",
    "WithReplacement",
    "accuracy_figure",
    "across",
    "against_matched",
    "areas_of",
    "attribute",
    "baselines",
    "breadth_figure",
    "coincidence",
    "concentration_figure",
    "conductance",
    "deletion_by_k_figure",
    "deletion_over_steps_figure",
    "effective_number",
    "events",
    "gated",
    "gini",
    "hoyer",
    "joint_ablation",
    "loss_figure",
    "matched_windows",
    "measure",
    "measures",
    "number_holding",
    "open",
    "preset",
    "read_runs",
    "recording",
    "replay",
    "resampled",
    "saliency_histogram",
    "shapley_values",
    "site_of",
    "skewness",
    "spikes",
    "spikes_figure",
    "together",
    "train",
    "verify",
    "who_flips",
]


def open(root: str) -> Store:
    """A store's runs, readings, events and checkpoints; it may be in use by a writer."""
    from undergrowth.store import Store

    return Store(root)


def __getattr__(name: str) -> object:
    if name == "measures":
        return import_module("undergrowth.measures")
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'undergrowth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
