"""One small store that has what exports tell: events, arms, readings with axes of each kind."""

from __future__ import annotations

from pathlib import Path

from tests import tiny
from undergrowth.spec import RunSpec
from undergrowth.store import Part, Store
from undergrowth.sweep import Layout, train

PLAIN = tiny.spec(
    model={**tiny.MLP.model_dump(), "d_mlp": 32},
    optimiser={"name": "adamw", "lr": 0.05, "weight_decay": 0.1},
    steps=100,
)
"""It memorises."""
EVENTFUL = tiny.spec(
    model={**tiny.TRANSFORMER.model_dump(), "d_mlp": 20},
    interventions=[
        {
            "trigger": {"name": "at_step", "step": 15},
            "action": {"name": "scale_learning_rate", "factor": 2.0},
        }
    ],
    measures=[
        {"name": "curves", "schedule": tiny.EVERY_10},
        {"name": "norms"},
        {"name": "saliency"},
        {"name": "fourier"},
    ],
).seeded(1)
"""It fires, and has readings by neuron (20 numbers a step), by frequency, by the name of a weight."""
SPECS: tuple[RunSpec, ...] = (PLAIN, PLAIN.seeded(2), EVENTFUL)


def make(root: Path) -> Store:
    """Train them: two seeds of an arm of a study, and a run with a name that no file system takes."""
    parts = {spec.id: [Part("made-up", "quick", "wide", "", spec.seeds.model)] for spec in SPECS[:2]}
    names = {EVENTFUL.id: ["lr x2 / at 15"]}
    return train(SPECS, root, layout=Layout(workers=1), names=names, parts=parts)
