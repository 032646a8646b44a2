"""A worker: a process that trains the runs it is handed, one after the other, into its own database, or
measures stored ones.

Orders and answers, plain dictionaries, come and go over one channel, whose descriptor it is given. When
the channel closes, whoever started it is gone, and it stops at once: the store survives that.

    in:  {"runs": [spec, ...], "branches": [[trigger, ...], ...]}    runs of one shape, trained side by
                                          side, and where others will fork from each of them
         {"fail": spec, "why": "..."}     a run that cannot be trained
         {"measure": text, "run": id, "step": n}    a checkpoint to be measured
         {"close": True}                  there is nothing more to do
    out: {"ready": "cpu"}                 once, after start-up
         {"run": id, "step": n, ...}      progress, with the latest readings of the curves
         {"run": id, "branched": k}           when it has come to its k-th branch, whose snapshot is kept
         {"run": id, "step": n, "ended": "done"}      or "failed", with a message
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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from undergrowth.own_parts import use_what_was_told, where_raised
from undergrowth.plain_text import in_one_line
from undergrowth.spec_errors import SpecError
from undergrowth.store.errors import StoreError

OF_THE_STORE = (OSError, sqlite3.Error, StoreError)
"""What ends a worker; any other error ends the run that raised it, and those packed with it."""

KEEP_EVERY = 15.0
"""Seconds of training that a kill may cost: how runs stand is kept that often."""

MOST_COMPILED = int(os.environ.get("UNDERGROWTH_MOST_COMPILED", "24"))
"""Shapes that one process compiles: what it keeps of each is let go of with the process only."""

CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")


def main() -> None:
    """Serve until the channel closes.

    Arguments: the store's directory, the database's name (none for who only measures), where compiled
    steps are kept, the descriptor of the channel.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    root, name, cache = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    channel = Connection(int(sys.argv[4]))
    orders = _orders(channel)
    configure(cache)
    _serve(root, name, orders, channel)


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
            _carry_out(writer, order, compiled, answer)
            answer(free=True, is_large=len(compiled) >= MOST_COMPILED)
        if writer is not None:
            writer.close()
    except OF_THE_STORE as error:
        answer(broken=_plainly(error, root))


def _carry_out(writer: Any, order: dict[str, Any], compiled: set[object], answer: Any) -> None:
    from pydantic import TypeAdapter

    from undergrowth.spec import RunSpec
    from undergrowth.training.interventions import AnyForkPoint

    if "fail" in order:
        _end(writer, RunSpec.from_dict(order["fail"]), 0, order["why"], {}, answer)
        return
    point_of = TypeAdapter(AnyForkPoint).validate_python
    specs = [RunSpec.from_dict(fields) for fields in order["runs"]]
    branches = [list(map(point_of, points)) for points in order["branches"]]
    compiled |= _train(writer, specs, dict(zip((s.id for s in specs), branches, strict=True)), answer)


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


def _train(
    writer: Any,
    specs: Sequence[Any],
    branches: Mapping[str, Any],
    answer: Any,
    keep_every: float = KEEP_EVERY,
) -> set[object]:
    """Train runs side by side, those first that stand at the same step; returns their shapes."""
    from undergrowth.engine import shape_key

    groups: dict[tuple[object, int | None], list[tuple[Any, Any]]] = {}
    for spec in specs:
        try:
            snapshot = writer.begin(spec)
            key = shape_key(spec, spec.data().n_train), snapshot.step if snapshot else None
        except OF_THE_STORE:
            raise
        except Exception as error:
            _end(writer, spec, 0, _told(error), {}, answer)
        else:
            groups.setdefault(key, []).append((spec, snapshot))
    for group in groups.values():
        _train_group(writer, group, branches, answer, _Clock(keep_every))
    return {shape for shape, _ in groups}


class _Clock:
    """Says when runs are to be kept: every so many seconds, all of them at the same step."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.kept = seconds, time.monotonic()
        self.step, self.is_due = -1, False

    def strikes(self, step: int) -> bool:
        """Whether those who come to `step` are to be kept there."""
        if step != self.step:
            self.step, now = step, time.monotonic()
            self.is_due = now - self.kept > self.seconds
            self.kept = now if self.is_due else self.kept
        return self.is_due


def _train_group(
    writer: Any,
    group: Sequence[tuple[Any, Any]],
    branches: Mapping[str, Any],
    answer: Any,
    clock: _Clock,
) -> None:
    from undergrowth.engine import train
    from undergrowth.engine.facts import Advanced, Branched, Diverged, Measured
    from undergrowth.store.lineage import unscheduled

    specs = [spec for spec, _ in group]
    step = [snapshot.step if snapshot else 0 for _, snapshot in group]
    wrong: dict[int, str] = {}
    latest: list[dict[str, float]] = [{} for _ in specs]
    try:
        due = {  # what others fork from, and checkpoints that others once forked from
            position: [*branches.get(spec.id, ()), *unscheduled(writer.root, spec)]
            for position, spec in enumerate(specs)
        }
        for position, fact in train(specs, [snapshot for _, snapshot in group], due):
            spec = specs[position]
            writer.write(spec, fact)
            if isinstance(fact, Measured):
                latest[position] |= _curves(fact.readings)
            elif isinstance(fact, Diverged):
                wrong[position] = f"the training loss is not finite at step {fact.step}"
            elif isinstance(fact, Advanced):
                step[position] = fact.step
                if clock.strikes(fact.step):
                    writer.keep(spec, fact.snapshot)
                answer(run=spec.id, step=fact.step, **latest[position])
            elif isinstance(fact, Branched) and fact.branch < len(branches.get(spec.id, ())):
                answer(run=spec.id, branched=fact.branch)
    except OF_THE_STORE:
        raise
    except Exception as error:
        wrong = dict.fromkeys(range(len(specs)), _told(error)) | wrong
    for position, spec in enumerate(specs):
        _end(writer, spec, step[position], wrong.get(position, ""), latest[position], answer)


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


def _plainly(error: Exception, root: Path) -> str:
    full = isinstance(error, sqlite3.OperationalError) and "full" in str(error)
    if full or (isinstance(error, OSError) and error.errno in (28, 27, 122)):
        return (
            f"{root} cannot take more ({error}): free some space and run the same command again; "
            "everything stored so far is whole and is not trained again"
        )
    return f"{root}: {error}"


if __name__ == "__main__":
    main()
