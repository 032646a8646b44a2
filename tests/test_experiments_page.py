"""The page of experiments: every block is a run that could be started."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import undergrowth as ug
from undergrowth.losses import LossName
from undergrowth.models import AnyModel
from undergrowth.spec import RunSpec
from undergrowth.tasks import AnySplit, AnyTask, AnyWeights
from undergrowth.training.batches import AnyBatch
from undergrowth.training.interventions import AnyAction, AnyTrigger
from undergrowth.training.optimisers import AnyOptimiser

PAGE = (Path(__file__).parent.parent / "docs" / "experiments.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_spec_on_the_page_is_possible(block: str) -> None:
    specs = ug.read_runs(block)
    assert specs
    for spec in specs:
        assert spec.data().n_train > 0
        assert RunSpec.from_toml(spec.to_toml()) == spec


def test_the_python_on_the_page_makes_its_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    trained: list[RunSpec] = []
    monkeypatch.setattr(ug, "train", lambda specs, out: trained.extend(specs), raising=False)
    exec(code, {})
    trunk, *arms = trained
    assert len(arms) == 3
    assert {arm.fork.of for arm in arms if arm.fork} == {trunk.id}


UNIONS = {
    "task": AnyTask,
    "split": AnySplit,
    "weights": AnyWeights,
    "model": AnyModel,
    "optimiser": AnyOptimiser,
    "batch": AnyBatch,
    "trigger": AnyTrigger,
    "action": AnyAction,
}


@pytest.mark.parametrize("field", UNIONS)
def test_every_kind_is_on_the_page(field: str) -> None:
    for kind in get_args(get_args(UNIONS[field])[0]):
        assert f"`{kind.model_fields['name'].default}`" in PAGE, kind


@pytest.mark.parametrize("loss", get_args(LossName))
def test_every_loss_is_on_the_page(loss: str) -> None:
    assert f"`{loss}`" in PAGE or f'"{loss}"' in PAGE
