"""A run that cannot be trained to its end says why, and the others go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from undergrowth.measures import Norms
from undergrowth.spec import RunSpec
from undergrowth.store import Store, verify
from undergrowth.store.layout import create
from undergrowth.store.writer import Writer
from undergrowth.sweep.worker import train_handed

WITH_NORMS = tiny.spec(measures=[{"name": "norms"}, {"name": "curves", "schedule": {"every": 10}}])
WITHOUT = tiny.spec(measures=[{"name": "curves", "schedule": {"every": 10}}])


def trained(root: Path, *orders: list[RunSpec]) -> list[dict[str, Any]]:
    """What a worker answers when it is handed these orders, in this process."""
    answers: list[dict[str, Any]] = []
    create(root)
    writer = Writer(root, "worker-0")
    for specs in orders:
        train_handed(writer, specs, {}, lambda **fields: answers.append(fields))
    writer.close()
    return answers


def failing_at(step: int, error: Exception) -> Callable[..., Any]:
    observe, calls = Norms.observe, iter(range(1000))

    def fail(*args: Any, **kwargs: Any) -> Any:
        if next(calls) * 10 == step:
            raise error
        return observe(*args, **kwargs)

    return fail


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("mlp"), "KeyError: 'mlp'"),
        (MemoryError(), "MemoryError"),
        (ValueError("two\nlines"), "ValueError: two lines"),
    ],
)
def test_an_error_in_a_run_ends_it_alone_with_type_and_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    monkeypatch.setattr(Norms, "observe", failing_at(20, error))
    answers = trained(tmp_path, [WITH_NORMS], [WITHOUT])
    ends = [(a["run"], a["step"], a["ended"], a["message"]) for a in answers if "ended" in a]
    assert ends == [  # 10 is the last step at which it was seen through
        (WITH_NORMS.id, 10, "failed", message),
        (WITHOUT.id, 30, "done", ""),
    ]
    status = {run.id: (run.status, run.message) for run in Store(tmp_path).runs}
    assert status == {WITH_NORMS.id: ("failed", message), WITHOUT.id: ("done", "")}
    assert verify(tmp_path).damage == ()


@pytest.mark.parametrize(
    "where",
    ["engine.under_way.UnderWay.__init__", "store.writer.resume_point", "store.writer.data_file"],
)
def test_an_error_as_a_run_begins_ends_it_at_step_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(f"undergrowth.{where}", fail)
    (answer,) = trained(tmp_path, [WITHOUT])
    assert (answer["step"], answer["ended"]) == (0, "failed")
    assert Store(tmp_path).runs[0].message == "RuntimeError: no such thing"


def test_what_the_store_cannot_take_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Norms, "observe", failing_at(20, OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        trained(tmp_path, [WITH_NORMS])
