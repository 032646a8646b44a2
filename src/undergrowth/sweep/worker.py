"""A worker: a process that trains the runs it is handed, one after the other, into its own database, or
measures stored ones.

Orders and answers, plain dictionaries, come and go over one channel, whose descriptor it is given. When
the channel closes, whoever started it is gone, and it stops at once: the store survives that.

    in:  {"runs": [spec, ...], "branches": [[trigger, ...], ...], "pack": n}    runs to be trained, n at
                                          a time at most, and where others will fork from each of them
         {"fail": spec, "why": "..."}     a run that cannot be trained
         {"measure": text, "run": id, "step": n}    a checkpoint to be measured
         {"close": True}                  there is nothing more to do
    out: {"ready": "cpu"}                 once, after start-up
         {"run": id, "step": n, ...}      progress, with the latest readings of the curves
         {"run": id, "branched": k}           when it has come to its k-th branch, whose snapshot is kept
         {"run": id, "step": n, "ended": "done"}      or "failed", with a message
         {"wants": n}                     when n more runs could be trained beside those that are; the
                                          order that comes next has some, or none
         {"readings": {...}}              what was measured, or {"wrong": "..."}, why it was not
         {"free": True, "is_large": b}    when all runs handed over have ended, and whether it has
                                          compiled so much that another should take its place
         {"broken": "..."}                when it cannot go on (disk full, store damaged)
"""

from __future__ import annotations

import os
import queue
import signal
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from undergrowth.own_parts import use_what_was_told, where_raised
from undergrowth.plain_text import in_one_line
from undergrowth.spec_errors import SpecError
from undergrowth.store.errors import StoreError

OF_THE_STORE = (OSError, sqlite3.Error, StoreError)
"""What ends a worker; any other error ends the run that raised it."""

KEEP_EVERY = 15.0
"""Seconds of training that a kill may cost: how runs stand is kept that often."""

MOST_COMPILED = int(os.environ.get("UNDERGROWTH_MOST_COMPILED", "24"))
"""Shapes that one process compiles: what it keeps of each is let go of with the process only."""

CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")


def main(arguments: Sequence[str]) -> None:
    """Serve until the channel closes.

    Arguments: the store's directory, the database's name (none for who only measures), where compiled
    steps are kept, the descriptor of the channel.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    root, name, cache, descriptor = arguments
    channel = Connection(int(descriptor))
    orders = _orders(channel)
    configure(cache)
    _serve(Path(root), name, orders, channel)


def configure(cache: str) -> None:
    """Keep compiled programs in a directory, also small ones; nowhere where it is empty."""
    import jax

    if cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _orders(channel: Connection) -> queue.Queue[dict[str, Any]]:
    """Orders as a queue, filled by a thread so that the channel's end is never missed."""
    orders: queue.Queue[dict[str, Any]] = queue.Queue()

    def watch() -> None:
        while True:
            try:
                orders.put(channel.recv())
            except (EOFError, OSError):
                os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    return orders


def _serve(root: Path, name: str, orders: queue.Queue[dict[str, Any]], channel: Connection) -> None:
    import jax

    def answer(**fields: object) -> None:
        with suppress(BrokenPipeError):  # nobody is there to hear it: `watch` ends this process
            channel.send(fields)

    compiled: set[object] = set()
    try:
        use_what_was_told(os.environ)
    except SpecError as error:
        answer(broken=str(error))
        return
    try:
        from undergrowth.store.writer import Writer

        writer = Writer(root, name) if name else None
        answer(ready=jax.default_backend())
        while (order := orders.get()) != {"close": True}:
            if "measure" in order:
                answer(**_measured(root, order))
                continue
            _carry_out(writer, order, orders, compiled, answer)
            answer(free=True, is_large=len(compiled) >= MOST_COMPILED)
        if writer is not None:
            writer.close()
    except OF_THE_STORE as error:
        answer(broken=plainly(error, root))


def _carry_out(
    writer: Any,
    order: dict[str, Any],
    orders: queue.Queue[dict[str, Any]],
    compiled: set[object],
    answer: Any,
) -> None:
    from undergrowth.spec import RunSpec

    if "fail" in order:
        _end(writer, RunSpec.from_dict(order["fail"]), 0, order["why"], {}, answer)
        return

    def more(n: int) -> dict[str, Any]:
        answer(wants=n)
        return orders.get()

    compiled |= train_handed(writer, *_handed(order), answer, pack=order["pack"], more=more)


def _handed(order: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The runs of an order, and by id where others will fork from them."""
    from pydantic import TypeAdapter

    from undergrowth.spec import RunSpec
    from undergrowth.training.interventions import AnyForkPoint

    point_of = TypeAdapter(AnyForkPoint).validate_python
    specs = [RunSpec.from_dict(fields) for fields in order["runs"]]
    branches = [list(map(point_of, points)) for points in order["branches"]]
    return specs, dict(zip((s.id for s in specs), branches, strict=True))


def _measured(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """What a measure reads of a checkpoint, or what is wrong."""
    from undergrowth.measures.named import measure_named
    from undergrowth.spec import SpecError
    from undergrowth.store import Store
    from undergrowth.sweep.measuring import read

    try:
        run = Store(root).run(order["run"])
        return {"readings": dict(read(run, measure_named(order["measure"]), order["step"]))}
    except (SpecError, StoreError) as error:
        return {"wrong": str(error)}
    except Exception as error:
        return {"wrong": _told(error)}


def train_handed(
    writer: Any,
    specs: Sequence[Any],
    branches: Mapping[str, Any],
    answer: Any,
    keep_every: float = KEEP_EVERY,
    pack: int | None = None,
    more: Callable[[int], Mapping[str, Any]] | None = None,
) -> set[object]:
    """Train runs, at most `pack` at a time (None: all at once), and those that `more` gives in the place
    of those that are over; returns their shapes.
    """
    from undergrowth.engine import side_by_side
    from undergrowth.engine.facts import Branched, Over

    queue = _Queue(writer, specs, branches, answer, None if pack == 1 else more)
    under_way: dict[str, _Heard] = {}
    for run, fact in side_by_side(queue, pack or len(specs)):
        told = under_way.setdefault(run.spec.id, _Heard(run.spec, run.start, keep_every))
        if isinstance(fact, Over):
            if isinstance(fact.error, OF_THE_STORE):
                raise fact.error
            del under_way[run.spec.id]
            wrong = told.wrong if fact.error is None else _told(fact.error)
            _end(writer, run.spec, told.step, wrong, told.latest, answer)
        else:
            told.hear(fact, writer, answer)
            if isinstance(fact, Branched) and fact.branch < queue.promised(run.spec):
                answer(run=run.spec.id, branched=fact.branch)
        queue.may_have_more |= isinstance(fact, Branched | Over)
    return queue.shapes


class _Queue:
    """Runs that wait for a slot: those that were handed over, then those that are asked for."""

    def __init__(
        self,
        writer: Any,
        specs: Sequence[Any],
        branches: Mapping[str, Any],
        answer: Any,
        more: Callable[[int], Mapping[str, Any]] | None,
    ) -> None:
        self.writer, self.answer, self.more = writer, answer, more
        self.waiting, self.branches = deque(specs), dict(branches)
        self.shapes: set[object] = set()
        self.may_have_more = True

    def promised(self, spec: Any) -> int:
        """At how many branches of a run others wait for it."""
        return len(self.branches.get(spec.id, ()))

    def __call__(self, n: int) -> list[Any]:
        """At most n runs, begun in the store; one that cannot begin has failed."""
        begun: list[Any] = []
        while len(begun) < n and (self.waiting or self._asked(n - len(begun))):
            begun += self._begun(self.waiting.popleft())
        return begun

    def _asked(self, n: int) -> bool:
        """Whether there are more; asked for where something has happened since the last time."""
        if self.more is not None and self.may_have_more:
            specs, branches = _handed(self.more(n))
            self.waiting += specs
            self.branches |= branches
            self.may_have_more = len(specs) == n
        return bool(self.waiting)

    def _begun(self, spec: Any) -> list[Any]:
        """The run as it begins, with what others fork from it, and what others once forked from."""
        from undergrowth.engine import Beginning, shape_key
        from undergrowth.store.start_points import unscheduled

        try:
            snapshot = self.writer.begin(spec)
            self.shapes.add(shape_key(spec, spec.data().n_train))
            due = [*self.branches.get(spec.id, ()), *unscheduled(self.writer.root, spec)]
        except OF_THE_STORE:
            raise
        except Exception as error:
            self.may_have_more = True  # its forks can begin to fail
            _end(self.writer, spec, 0, _told(error), {}, self.answer)
            return []
        return [Beginning(spec, snapshot, due)]


class _Heard:
    """What has been heard of a run that is under way."""

    def __init__(self, spec: Any, start: Any, keep_every: float) -> None:
        self.spec, self.step = spec, start.step if start else 0
        self.latest: dict[str, float] = {}
        self.wrong = ""
        self.keep_every, self.kept = keep_every, time.monotonic()

    def hear(self, fact: Any, writer: Any, answer: Any) -> None:
        """Store a fact, and pass on what of it is news."""
        from undergrowth.engine.facts import Advanced, Diverged, Measured

        writer.write(self.spec, fact)
        if isinstance(fact, Measured):
            self.latest |= _curves(fact.readings)
        elif isinstance(fact, Diverged):
            self.wrong = f"the training loss is not finite at step {fact.step}"
        elif isinstance(fact, Advanced):
            self.step = fact.step
            if time.monotonic() - self.kept > self.keep_every:
                writer.keep(self.spec, fact.snapshot)
                self.kept = time.monotonic()
            answer(run=self.spec.id, step=fact.step, **self.latest)


def _end(
    writer: Any, spec: Any, step: int, wrong: str, latest: Mapping[str, float], answer: Any
) -> None:
    status = "failed" if wrong else "done"
    writer.end(spec, status, wrong)
    answer(run=spec.id, step=step, ended=status, message=wrong, **latest)


def _told(error: Exception) -> str:
    if own := where_raised(error):
        return own[:300]
    text = in_one_line(str(error))
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _curves(readings: Mapping[str, Any]) -> dict[str, float]:
    found = {name: float(readings[name].values) for name in CURVES if name in readings}
    return {name: value for name, value in found.items() if value == value}  # NaN is no JSON


def plainly(error: Exception, root: Path) -> str:
    """What to say of an error of a store, in one line with its remedy."""
    full = isinstance(error, sqlite3.OperationalError) and "full" in str(error)
    if full or (isinstance(error, OSError) and error.errno in (28, 27, 122)):
        return (
            f"{root} cannot take more ({error}): free some space and run the same command again; "
            "everything stored so far is whole and is not trained again"
        )
    return f"{root}: {error}"


if __name__ == "__main__":
    main(sys.argv[1:])
