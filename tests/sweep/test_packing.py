"""A run does not depend on what it was packed with: the same bits in every layout on a CPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from undergrowth.spec import RunSpec
from undergrowth.store import Run, Store
from undergrowth.sweep import Layout, Progress, train

SPEC = RunSpec.from_dict(
    {
        "task": {"name": "modular", "p": 23},
        "model": {"name": "transformer", "d_model": 64, "n_heads": 2, "d_head": 32, "d_mlp": 128},
        "optimiser": {"name": "adamw", "lr": 0.005},
        "steps": 120,
        "measures": [{"name": "curves"}, {"name": "saliency", "n_nodes": 2}],
    }
)
SPECS = tuple(SPEC.seeded(seed) for seed in range(4))


def bits(run: Run) -> dict[str, bytes]:
    """All that a run left behind: every reading at every step, and the last weights."""
    readings = {name: run[name].values.tobytes() for name in run.names}
    return readings | {"weights": run.checkpoint_path(run.checkpoints[-1]).read_bytes()}


def trained(specs: tuple[RunSpec, ...], out: Path, layout: Layout) -> Store:
    return train(specs, out, layout=layout)


@contextmanager
def busy_neighbours() -> Iterator[None]:
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The first run, trained alone."""
    out = tmp_path_factory.mktemp("alone")
    return bits(trained(SPECS[:1], out / "store", Layout(workers=1)).runs[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_among_others_has_the_same_bits(
    alone: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    store = trained(SPECS[::-1], tmp_path / "store", Layout(workers=workers))
    assert len(store.runs) == len(SPECS)
    assert bits(store.select(SPECS[:1])[0]) == alone


def test_a_run_beside_busy_neighbours_has_the_same_bits(alone: dict[str, bytes], tmp_path: Path) -> None:
    with busy_neighbours():
        store = trained(SPECS[:2], tmp_path / "store", Layout(workers=2))
    assert bits(store.select(SPECS[:1])[0]) == alone


def test_runs_side_by_side_under_vmap_agree_up_to_rounding(
    alone: dict[str, bytes], tmp_path: Path
) -> None:
    store = trained(SPECS[:3], tmp_path / "store", Layout(workers=1, pack=3))
    loss = store.select(SPECS[:1])[0]["train_loss"].values
    expected = np.frombuffer(alone["train_loss"], loss.dtype)
    until = 3  # up to step 20: past it, training multiplies the rounding, by how much processors differ
    np.testing.assert_allclose(loss[:until], expected[:until], rtol=1e-4)


def test_what_is_stored_is_not_trained_again(tmp_path: Path) -> None:
    def said(specs: tuple[RunSpec, ...]) -> list[str]:
        heard: list[Progress] = []
        train(specs, tmp_path / "store", layout=Layout(workers=1), progress=heard.append)
        return [progress.ended for progress in heard if progress.ended]

    assert said(SPECS[:1]) == ["done"]
    assert said((*SPECS[:2], *SPECS[:2])) == ["stored", "done"]
