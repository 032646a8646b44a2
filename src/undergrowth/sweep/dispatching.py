"""Chunks handed to machines that may be lost at any time, until every run has ended and is here once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from undergrowth.own_parts import texts_for_others
from undergrowth.spec import RunSpec
from undergrowth.store.layout import create
from undergrowth.store.lineage import spec_of
from undergrowth.store.temporary import temporary_folder
from undergrowth.store.writer import Writer
from undergrowth.sweep.chunks import Chunks
from undergrowth.sweep.local import Progress
from undergrowth.sweep.orders import Heard, Order
from undergrowth.sweep.pace import Pace
from undergrowth.sweep.parcels import Arrivals, Parcel, packed, packed_runs
from undergrowth.sweep.pool import SweepError

AT_ONCE = 2
"""Chunks for each slot that are handed over: one is trained, one waits there, so that none is idle."""

MOST_LOSSES = 3
"""How often a run is begun that is lost alone while its machine goes on."""


@dataclass(frozen=True)
class Lost:
    """What is heard last of an order whose worker or machine is gone."""

    why: str


class Machines(Protocol):
    """What orders are handed to; a ticket stands for an order that is under way."""

    def slots(self, threads: int) -> int:
        """How many workers of so many threads there is room for now, if all else were done."""
        ...

    def begin(self, order: Order, threads: int) -> Any:
        """Hand over an order; its ticket."""
        ...

    def heard(self, seconds: float) -> Iterable[tuple[Any, Heard | Lost]]:
        """What is heard of orders, within some seconds; of an order whose `Heard.seconds` has come, or
        that is lost, nothing comes any more.
        """
        ...

    def give_up(self) -> None:
        """End what is under way."""
        ...

    def went_on(self, ticket: Any) -> bool:
        """Whether the machine of a lost order is known to be there still: it was not lost with it."""
        ...


@dataclass
class _UnderWay:
    """A chunk that a machine has."""

    specs: list[RunSpec]
    left: dict[str, RunSpec] = field(init=False)

    def __post_init__(self) -> None:
        self.left = {spec.id: spec for spec in self.specs}


class Dispatch:
    """Hands runs to machines and brings home what becomes of them.

    specs: what is to be trained; out: the store, which the caller has the right to write to; pace: what
    is known of how long they take; pack: runs side by side, None for as each machine is; most: how many
    workers train at once at most.

    What is lost is handed over again, in halves down to single runs. A run that is lost alone
    `MOST_LOSSES` times, on machines that went on without it, has failed. A run that fails of itself, by
    divergence say, has ended: that is its result.
    """

    def __init__(
        self,
        specs: Sequence[RunSpec],
        out: Path,
        machines: Machines,
        pace: Pace,
        progress: Callable[[Progress], None],
        *,
        pack: int | None = None,
        most: int | None = None,
    ) -> None:
        self.out, self.machines, self.progress = out, machines, progress
        self.pack, self.most = pack, most
        self.pace, self.chunks = pace, Chunks(specs, pace)
        self.arrivals = Arrivals(out)
        self.at_work: dict[Any, _UnderWay] = {}
        self.losses: dict[str, list[tuple[Any, str]]] = {}
        self.parts = texts_for_others()

    def run(self) -> None:
        """Train all; whatever ends it, what has arrived is in the store then.

        Raises SweepError where it cannot go on.
        """
        try:
            while self.chunks or self.at_work:
                self._hand_over()
                for ticket, told in self.machines.heard(1.0):
                    if isinstance(told, Lost):
                        self._lose(ticket, told)
                    else:
                        self._hear(ticket, told)
                self.arrivals.take_in()
        finally:
            self.machines.give_up()
            self.arrivals.take_in(now=True)
        if self.arrivals.damaged:
            run_id, wrong = self.arrivals.damaged[0]
            raise SweepError(
                f"{len(self.arrivals.damaged)} runs arrived damaged ({run_id}: {wrong}): run the same "
                "command again"
            )

    def _hand_over(self) -> None:
        """As many chunks as may be under way."""
        while True:
            slots = max(1, self.machines.slots(self.chunks.threads))
            most = AT_ONCE * slots
            if self.most is not None and self.most < slots:  # whatever there is room for would begin
                slots = most = self.most
            if len(self.at_work) >= most:
                return
            chunk = self.chunks.take(slots)
            if not chunk:
                return
            if len(chunk) == 1 and self._has_failed(chunk[0]):
                continue
            order = Order(
                [spec.model_dump(mode="json") for spec in chunk],
                self._trunks(chunk),
                self.parts,
                self.pack,
            )
            self.at_work[self.machines.begin(order, chunk[0].threads)] = _UnderWay(chunk)

    def _trunks(self, chunk: Sequence[RunSpec]) -> Parcel:
        """A store with what runs of a chunk fork from and is not among them."""
        seen = {spec.id for spec in chunk}
        wanted: dict[Path, set[str]] = {}
        for spec in chunk:
            child: RunSpec | None = spec
            while child is not None and child.fork is not None and child.fork.of not in seen:
                seen.add(child.fork.of)
                root = self.arrivals.where.get(child.fork.of, self.out)
                wanted.setdefault(root, set()).add(child.fork.of)
                child = spec_of(root, child.fork.of)
        if not wanted:
            return {}
        with temporary_folder("undergrowth-trunks-") as folder:
            return packed_runs(wanted, folder / "store")

    def _hear(self, ticket: Any, told: Heard) -> None:
        under_way = self.at_work[ticket]
        for answer in told.progress:
            self.progress(Progress.of(under_way.left[answer["run"]], answer))
        if told.ended:
            self._bring_home(told.parcel, told.ended)
            for run_id in told.ended:
                del under_way.left[run_id]
        if told.seconds is not None:
            self.pace.learn(under_way.specs, told.seconds)
            del self.at_work[ticket]

    def _bring_home(self, parcel: Parcel, run_ids: Sequence[str]) -> None:
        self.arrivals.keep(parcel, run_ids)
        for run_id in run_ids:
            self.chunks.end(run_id)

    def _lose(self, ticket: Any, lost: Lost) -> None:
        left = list(self.at_work.pop(ticket).left.values())
        if len(left) == 1:
            self.losses.setdefault(left[0].id, []).append((ticket, lost.why))
        self.chunks.put_back(left)

    def _has_failed(self, spec: RunSpec) -> bool:
        """Whether a run was lost alone too often, and not with its machine; if so, that is stored."""
        losses = self.losses.get(spec.id, [])
        if len(losses) < MOST_LOSSES:
            return False
        counted = [why for ticket, why in losses if self.machines.went_on(ticket)]
        if len(counted) < MOST_LOSSES:
            return False
        message = f"a worker was lost with it {len(counted)} times (the last: {counted[-1]})"
        with temporary_folder("undergrowth-failed-") as folder:
            create(folder / "store")
            writer = Writer(folder / "store", "lost")
            writer.end(spec, "failed", message)
            writer.close()
            self._bring_home(packed(folder / "store"), [spec.id])
        self.progress(Progress(spec, 0, {}, "failed", message))
        return True
