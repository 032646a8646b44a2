"""A small store of real runs: two seeds with true labels, one with shuffled ones."""

from __future__ import annotations

import pytest

from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.sweep import Layout, train

OFTEN = {"every": 2, "until": 20, "per_decade": 10}
SELDOM = {"every": 15, "until": 30, "per_decade": 3}
SPEC = RunSpec.from_dict(
    {
        "task": {"name": "modular", "p": 7},
        "model": {"name": "transformer", "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32},
        "optimiser": {"name": "adamw", "lr": 0.01, "weight_decay": 1.0},
        "steps": 60,
        "measures": [
            {"name": "curves", "schedule": OFTEN},
            {"name": "norms", "schedule": OFTEN},
            {"name": "saliency", "n_nodes": 2, "schedule": SELDOM},
            {"name": "deletion", "ks": [0, 1, 4, 16], "n_nodes": 2, "schedule": SELDOM},
        ],
    }
)
SPECS = (SPEC, SPEC.seeded(1), SPEC.replace(labels="shuffled"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, ...]:
    """The runs, true labels first."""
    root = tmp_path_factory.mktemp("report") / "store"
    return train(SPECS, root, layout=Layout(workers=1)).runs
