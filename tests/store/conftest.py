"""One small finished store, made by the real workers, that the tests copy before they damage it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import tiny
from undergrowth.spec import RunSpec
from undergrowth.sweep import Layout, train

INTERVENED = tiny.spec(
    interventions=[
        {
            "trigger": {"name": "at_step", "step": 15},
            "action": {"name": "scale_learning_rate", "factor": 2.0},
        }
    ]
)
SPECS: tuple[RunSpec, ...] = (tiny.spec(), INTERVENED.seeded(1))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store; not to be written to."""
    root = tmp_path_factory.mktemp("finished") / "store"
    train(SPECS, root, layout=Layout(workers=1))
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """A copy of the store, to do anything to."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))
