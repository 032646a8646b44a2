"""Chunks handed to machines that are lost: each run comes home once, bit for bit as one worker's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.store.test_merging import contents
from tests.sweep.test_sharding import SPECS
from undergrowth.spec import RunSpec
from undergrowth.store import Store, verify
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.sweep import Layout, Progress, orders, train
from undergrowth.sweep.dispatching import AT_ONCE, MOST_LOSSES, Dispatch, Lost
from undergrowth.sweep.orders import Heard, NotCarriedOutError, Order, carried_out
from undergrowth.sweep.pace import Pace
from undergrowth.sweep.parcels import Arrivals, take_in_what_was_left
from undergrowth.sweep.planning import SHARDS, plan


class Here:
    """Machines of which all are this process: an order is carried out as its answers are asked for.

    lost: of the orders in the order in which they came, after how many parcels they are lost, if they
    are; gone: whether the machine is lost with them.
    """

    def __init__(self, lost: dict[int, int] | None = None, slots: int = 2, gone: bool = True) -> None:
        self.lost, self.n_slots, self.gone = lost or {}, slots, gone
        self.orders: list[Order] = []
        self.under_way: dict[int, Iterator[Heard]] = {}
        self.sent: dict[int, int] = {}
        self.most_under_way = 0

    def slots(self, threads: int) -> int:
        return self.n_slots // threads

    def begin(self, order: Order, threads: int) -> int:
        assert {fields["threads"] for fields in order.runs} == {threads}
        ticket = len(self.orders)
        self.orders.append(order)
        self.under_way[ticket], self.sent[ticket] = carried_out(order), 0
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        return ticket

    def heard(self, seconds: float) -> Iterator[tuple[int, Heard | Lost]]:
        for ticket in list(self.under_way)[: self.n_slots]:
            if self.sent[ticket] == self.lost.get(ticket):
                self.under_way.pop(ticket).close()  # type: ignore[attr-defined]
                yield ticket, Lost("killed")
                continue
            told = next(self.under_way[ticket])
            self.sent[ticket] += bool(told.ended)
            if told.seconds is not None:
                del self.under_way[ticket]
            yield ticket, told

    def give_up(self) -> None:
        for answers in self.under_way.values():
            answers.close()  # type: ignore[attr-defined]

    def went_on(self, ticket: Any) -> bool:
        return not self.gone


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs, by one worker."""
    root = tmp_path_factory.mktemp("whole") / "store"
    train(list(SPECS), root, layout=Layout(workers=1), names=SPECS.names)
    return root


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is told and sent as soon as it can be."""
    monkeypatch.setattr(orders, "TELL_EVERY", 0.0)
    monkeypatch.setattr(orders, "SEND_EVERY", 0.0)


def dispatched(
    specs: list[RunSpec], out: Path, machines: Here, heard: list[Progress] | None = None, **how: Any
) -> None:
    create(out)
    with writing(out):
        hear = (lambda _: None) if heard is None else heard.append
        Dispatch(specs, out, machines, Pace(specs, {}), hear, **how).run()


def rows(root: Path) -> list[str]:
    return sorted(row["run_id"] for row in Store(root).query("SELECT run_id FROM runs"))


def test_what_machines_send_back_is_what_one_worker_trains(whole: Path, tmp_path: Path) -> None:
    machines, heard = Here(slots=1), []
    dispatched(list(SPECS), tmp_path / "out", machines, heard)
    assert contents(tmp_path / "out") == contents(whole)
    assert verify(tmp_path / "out").damage == ()
    assert rows(tmp_path / "out") == sorted(SPECS.ids())
    assert sorted(told.spec.id for told in heard if told.ended == "done") == sorted(SPECS.ids())
    assert list((tmp_path / "out" / SHARDS).iterdir()) == []
    assert machines.most_under_way <= AT_ONCE


@pytest.mark.usefixtures("at_once")
def test_what_is_lost_is_handed_over_again_less_what_had_come(whole: Path, tmp_path: Path) -> None:
    """The first order is lost when its first run has come, the second at once; forks whose trunk had
    come are sent it.
    """
    machines = Here(lost={0: 1, 1: 0})
    dispatched(list(SPECS), tmp_path / "out", machines)
    assert [len(order.runs) for order in machines.orders[:3]] == [8, 4, 2]
    assert any(order.trunks for order in machines.orders[1:])
    assert rows(tmp_path / "out") == sorted(SPECS.ids())
    assert contents(tmp_path / "out") == contents(whole)
    assert verify(tmp_path / "out").damage == ()
    assert machines.most_under_way <= AT_ONCE * machines.n_slots


@pytest.mark.usefixtures("at_once")
def test_what_had_come_survives_the_end_of_the_sweep(whole: Path, tmp_path: Path) -> None:
    """Ended in order it is in the store; killed it lies beside it, counts as stored, and is taken in."""
    out, specs = tmp_path / "out", list(SPECS)

    class Interrupted(Here):
        def heard(self, seconds: float) -> Iterator[tuple[int, Heard | Lost]]:
            for ticket, told in super().heard(seconds):
                yield ticket, told
                if told.ended:  # type: ignore[union-attr]
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dispatched(specs, out, Interrupted(slots=1))
    first = plan(SPECS, out)
    assert 0 < len(first.left) < len(specs)
    assert rows(out) == sorted(first.done)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Arrivals, "take_in", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            dispatched(list(first.todo), out, Interrupted(slots=1))
    second = plan(SPECS, out)
    assert len(second.left) < len(first.left)
    assert len(rows(out)) == len(first.done) < len(second.done)
    take_in_what_was_left(out)
    take_in_what_was_left(out)
    assert rows(out) == sorted(second.done)
    dispatched(list(second.todo), out, Here())
    assert contents(out) == contents(whole)


def test_a_run_that_is_lost_alone_again_and_again_has_failed(tmp_path: Path) -> None:
    """Unless it was lost with its machine: then it is begun as often as it takes."""
    spec = tiny.spec()
    lost, heard = dict.fromkeys(range(MOST_LOSSES), 0), []
    dispatched([spec], tmp_path / "out", Here(lost=lost, gone=False), heard)
    (run,) = Store(tmp_path / "out").runs
    assert (run.status, run.message) == (
        "failed",
        "a worker was lost with it 3 times (the last: killed)",
    )
    assert [(told.ended, told.message) for told in heard] == [("failed", run.message)]
    machines = Here(lost=lost)
    dispatched([spec], tmp_path / "other", machines)
    assert Store(tmp_path / "other").runs[0].status == "done"
    assert len(machines.orders) == MOST_LOSSES + 1


def test_a_run_that_diverges_has_ended(tmp_path: Path) -> None:
    spec = tiny.spec(optimiser={"name": "sgd", "lr": 1e30})
    machines = Here()
    dispatched([spec], tmp_path / "out", machines)
    (run,) = Store(tmp_path / "out").runs
    assert (run.status, len(machines.orders)) == ("failed", 1)
    assert "not finite" in run.message


def test_at_most_so_many_workers_are_at_work(tmp_path: Path) -> None:
    machines = Here(slots=4)
    dispatched([tiny.spec().seeded(seed) for seed in range(9)], tmp_path / "out", machines, most=1)
    assert machines.most_under_way == 1
    assert len(Store(tmp_path / "out").runs) == 9


def test_another_version_of_the_package_is_refused() -> None:
    order = Order([tiny.spec().model_dump(mode="json")], {}, [], version="0.0.1")
    with pytest.raises(
        NotCarriedOutError, match=r"undergrowth 0\.0\.1 began .* install the same on all"
    ):
        next(carried_out(order))
