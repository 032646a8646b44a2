"""A run that turns to NaN in mid-run keeps its last good checkpoint, and its companions go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.engine.test_laws import ONE_MEASURE
from tests.sweep.test_forks import bits, the
from undergrowth.models import state_dict
from undergrowth.spec import RunSpec, SpecError
from undergrowth.store import Run, Store, verify
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import AtStep

RARELY = {"every": 1000, "until": 1000, "per_decade": 1}
AT_17 = {"every": 17, "until": 17, "per_decade": 1}


def exploding(**fields: Any) -> RunSpec:
    action = {"name": "scale_learning_rate", "factor": 1e30}
    return tiny.spec(
        measures=ONE_MEASURE,
        interventions=[{"trigger": AtStep(step=15), "action": action}],
        **fields,
    )


SANE = tiny.spec(measures=ONE_MEASURE).seeded(1)


def assert_is_good(run: Run, checkpoints: tuple[int, ...], lost_at: int) -> None:
    assert (run.status, run.message) == (
        "failed",
        f"the training loss is not finite at step {lost_at}",
    )
    assert run.checkpoints == checkpoints
    for step in checkpoints:
        assert all(np.isfinite(array).all() for array in state_dict(run.model(step)).values())
    assert run.events["kind"].tolist() == ["diverged", "fired"][:: -1 if lost_at > 15 else 1]


@pytest.mark.parametrize(
    "layout", [Layout(workers=1), Layout(workers=1, pack=3)], ids=["alone", "packed"]
)
def test_it_fails_with_its_last_good_checkpoint_and_its_companions_go_on(
    tmp_path: Path, layout: Layout
) -> None:
    lost, sane = exploding(checkpoints=RARELY), SANE.replace(checkpoints=RARELY)
    store = train([sane, lost, sane.seeded(2)], tmp_path / "store", layout=layout)
    assert_is_good(the(store, lost), (0, 10), lost_at=20)
    assert [the(store, spec).status for spec in (sane, sane.seeded(2))] == ["done", "done"]
    assert the(store, sane).checkpoints == (0, 30)
    assert verify(store.root).damage == ()


def test_what_is_not_finite_is_never_kept_as_a_checkpoint(tmp_path: Path) -> None:
    """Though the loss is not read at the step of the checkpoint."""
    lost = exploding(checkpoints=AT_17)
    store = train([lost], tmp_path / "store", layout=Layout(workers=1))
    assert_is_good(the(store, lost), (0, 10), lost_at=17)


def test_trained_again_it_fails_in_the_same_way(tmp_path: Path) -> None:
    lost = exploding(checkpoints=RARELY)
    before = bits(the(train([lost], tmp_path / "store", layout=Layout(workers=1)), lost))
    again = the(train([lost], tmp_path / "store", layout=Layout(workers=1)), lost)
    assert_is_good(again, (0, 10), lost_at=20)
    assert bits(again) == before


def test_it_can_be_forked_from_before_it_is_lost_alone(tmp_path: Path) -> None:
    lost = exploding()
    store = train([lost, lost.forked(AtStep(step=10))], tmp_path / "store", layout=Layout(workers=1))
    arm = the(store, lost.forked(AtStep(step=10)))
    assert (arm.status, arm.forked_at) == ("failed", 10)
    with pytest.raises(SpecError, match=r"fork.at.step = 25 was not reached by the parent"):
        train([lost.forked(AtStep(step=25))], tmp_path / "store", layout=Layout(workers=1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": {"name": "modular", "operation": "x/y", "p": 9}}, "task: p = 9 is not prime"),
        ({"optimiser": {"name": "sgd", "lr": 0}}, "optimiser.lr = 0: input should be greater than 0"),
        ({"task": {"name": "digits"}}, "model.name = 'two_token_mlp' cannot read "),
        (
            {"task": {"name": "digits"}, "model": tiny.TRANSFORMER.model_dump()},
            "model.name = 'transformer' cannot read ",
        ),
        ({"batch": {"name": "mini", "batch_size": 16}}, "batch.batch_size = 16 exceeds the 15 training"),
        (
            {
                "interventions": [
                    {
                        "trigger": {"name": "when_crosses", "reading": "val_los", "level": 1},
                        "action": {"name": "no_op"},
                    }
                ]
            },
            "interventions.0.trigger.reading = 'val_los': no measure of this run gives such a number",
        ),
        (
            {
                "interventions": [
                    {"trigger": AtStep(step=25), "action": {"name": "set_data", "keep": 0.5}},
                    {
                        "trigger": AtStep(step=5),
                        "action": {"name": "set_batch", "batch": {"name": "mini", "batch_size": 16}},
                    },
                ]
            },
            "interventions.1.action: batch_size = 16 exceeds the 15 training examples",
        ),
        (
            {
                "interventions": [
                    {"trigger": AtStep(step=25), "action": {"name": "set_data", "keep": 0.5}},
                    {
                        "trigger": AtStep(step=5),
                        "action": {"name": "set_batch", "batch": {"name": "mini", "batch_size": 15}},
                    },
                ]
            },
            "interventions.0.action: batch_size = 15 exceeds the ",  # of those that are left
        ),
    ],
)
def test_what_cannot_be_is_an_error_before_any_training(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        train([SANE, tiny.spec(**fields)], tmp_path / "store", layout=Layout(workers=1))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists() or Store(tmp_path / "store").runs == ()
