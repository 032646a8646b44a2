"""An order: a chunk of runs for a machine that may be far away, carried out there by one worker."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from undergrowth.own_parts import use_texts
from undergrowth.precision import refuse_what_is_not_there
from undergrowth.spec import RunSpec
from undergrowth.spec_errors import SpecError
from undergrowth.store.layout import create
from undergrowth.store.temporary import temporary_folder
from undergrowth.store.writer import Writer
from undergrowth.sweep.parcels import Parcel, packed, packed_runs, unpack
from undergrowth.sweep.pool import cache
from undergrowth.sweep.waiting import Trunks, Waiting
from undergrowth.sweep.worker import OF_THE_STORE, configure, plainly, train_handed
from undergrowth.version import __version__

TELL_EVERY = 1.0
"""Seconds between two pieces of progress."""
SEND_EVERY = 120.0
"""Seconds after which what is finished of a chunk is sent before its end."""
IN_A_PACK = 32
"""Runs side by side on an accelerator unless it is said."""


@dataclass(frozen=True)
class Order:
    """A chunk of runs.

    runs: specs as JSON has them, trunks before their forks, of one number of threads; trunks: a store
    with the runs that some of them fork from and that are not among them, and no file where there are
    none; parts: `own_parts.texts_for_others`; pack: runs side by side, None for as the machine is;
    version: of the package.
    """

    runs: Sequence[Mapping[str, Any]]
    trunks: Parcel
    parts: Sequence[tuple[str, str, str, Mapping[str, str]]]
    pack: int | None = None
    version: str = __version__


@dataclass(frozen=True)
class Heard:
    """What is heard of an order while it is carried out.

    progress: how runs stand or have ended, the latest answer of each; parcel: a store with runs that
    have ended, and ended: their ids; seconds: that the whole took, when it is done.
    """

    progress: Sequence[Mapping[str, Any]] = ()
    parcel: Parcel = field(default_factory=dict)
    ended: Sequence[str] = ()
    seconds: float | None = None


class NotCarriedOutError(Exception):
    """An order that no run of it is to blame for: what is wrong with the machine; one line."""


class _NobodyListensError(Exception):
    """Ends training that was given up."""


_OF_THIS_PROCESS = ExitStack()
"""Folders that last as long as it does: parts of one's own are imported from there."""


def carried_out(order: Order) -> Iterator[Heard]:
    """Train the runs of an order into a store on this machine, and give what they have come to.

    Raises SpecError for what this machine cannot do, NotCarriedOutError where it cannot go on.
    """
    began = time.monotonic()
    if order.version != __version__:
        raise NotCarriedOutError(
            f"undergrowth {order.version} began the sweep and a machine has {__version__}: "
            "install the same on all of them"
        )
    if order.parts:
        use_texts(order.parts, _OF_THIS_PROCESS.enter_context(temporary_folder("undergrowth-parts-")))
    configure(cache())
    with temporary_folder("undergrowth-chunk-") as folder:
        try:
            yield from _Chunk(order, folder).heard()
        except OF_THE_STORE as error:
            raise NotCarriedOutError(plainly(error, folder)) from None
    yield Heard(seconds=time.monotonic() - began)


class _Chunk:
    """Trains in a thread of its own, so that what has happened can be passed on meanwhile."""

    def __init__(self, order: Order, folder: Path) -> None:
        self.store, self.parcel = folder / "store", folder / "parcel"
        if order.trunks:
            unpack(order.trunks, self.store)
        create(self.store)
        self.has_others = bool(order.trunks)
        self.specs = [RunSpec.from_dict(dict(fields)) for fields in order.runs]
        self.pack = _as_the_machine_is(self.specs, order.pack)
        self.answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.error: BaseException | None = None
        self.is_given_up = False

    def heard(self) -> Iterator[Heard]:
        """What happens, until all runs have ended."""
        thread = threading.Thread(target=self._train, daemon=True)
        thread.start()
        try:
            yield from self._told()
        finally:
            self.is_given_up = True
            thread.join()

    def _told(self) -> Iterator[Heard]:
        news: dict[str, dict[str, Any]] = {}
        ended: list[str] = []
        told = sent = time.monotonic()
        while (answer := self.answers.get()) is not None:
            news[answer["run"]] = answer
            if "ended" in answer:
                ended.append(answer["run"])
            now = time.monotonic()
            if now - told < TELL_EVERY:
                continue
            yield Heard(progress=list(news.values()))
            news, told = {}, now
            if ended and now - sent >= SEND_EVERY:
                yield Heard(parcel=packed_runs({self.store: ended}, self.parcel), ended=ended)
                self.has_others, ended, sent = True, [], time.monotonic()
        if self.error is not None:
            raise self.error
        if not ended:
            yield Heard(list(news.values()))
        elif self.has_others:
            parcel = packed_runs({self.store: ended}, self.parcel)
            yield Heard(list(news.values()), parcel, ended)
        else:
            yield Heard(list(news.values()), packed(self.store), ended)

    def _train(self) -> None:
        try:
            writer = Writer(self.store, "worker")
            try:
                train_in_turn(writer, self.specs, self.pack, self._hear)
            finally:
                writer.close()
        except BaseException as error:
            self.error = error
        self.answers.put(None)

    def _hear(self, answer: dict[str, Any]) -> None:
        if self.is_given_up:
            raise _NobodyListensError
        self.answers.put(answer)


def train_in_turn(
    writer: Writer, specs: Sequence[RunSpec], pack: int, answer: Callable[[dict[str, Any]], None]
) -> None:
    """Train runs in this process, `pack` side by side where they have one shape, a fork when its trunk
    is there. answer: hears of each run how it stands and how it ended.
    """
    trunks = Trunks(specs)
    waiting = Waiting(specs, pack)

    def told(**fields: Any) -> None:
        if "branched" in fields:
            trunks.grown.add((fields["run"], fields["branched"]))
            return
        if "ended" in fields:
            trunks.ended.add(fields["run"])
        answer(fields)

    while (handed := waiting.take(trunks.has_trunk)) is not None:

        def more(n: int, shape: object = handed.shape) -> dict[str, Any]:
            return trunks.as_order([] if shape is None else waiting.more(shape, n, trunks.has_trunk))

        train_handed(writer, handed.runs, trunks.points, told, pack=handed.pack, more=more)


def _as_the_machine_is(specs: Sequence[RunSpec], pack: int | None) -> int:
    """How many runs side by side, unless it is said; raises SpecError where a run asks for products that
    this machine does not have.
    """
    import jax

    platform = jax.default_backend()
    for spec in {spec.precision: spec for spec in specs}.values():
        try:
            refuse_what_is_not_there(spec.precision, platform)
        except ValueError as error:
            raise SpecError(str(error)) from None
    return pack or (1 if platform == "cpu" else IN_A_PACK)
