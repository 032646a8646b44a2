"""Milliseconds of a training step: ours with every core busy, the reference's with all cores its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.children import Child, all_cores, at_once, cores, one_thread
from benchmarks.rows import Row, Spread
from benchmarks.works import WORKS, Work, essential_flop


def step_times() -> Iterator[Row]:
    """A row for each kind of work.

    Ours: one run in a one-thread process on every core, so a step's time is divided by the number of
    runs under way. The reference trains one run on all cores. They take turns, and the machine's peak
    (sgemm in all our processes at once) is taken in every turn as well.
    """
    for work in WORKS:
        yield _row(work)


def _row(work: Work) -> Row:
    spec, n = work.spec(), cores()
    setup = {"spec": spec.model_dump(mode="json"), "stretch": work.stretch}
    with ExitStack() as stack:
        ours = [
            stack.enter_context(Child("benchmarks.ours", {**setup, "first": 1000 * i}, one_thread()))
            for i in range(n)
        ]
        theirs = []
        if work.reference:
            setup |= {"stretch": work.reference_stretch, "style": work.style}
            theirs = [stack.enter_context(Child(work.reference, setup, all_cores()))]
        for child in (*ours, *theirs):  # all are ready before any is timed
            child.answer()
        our_ms, their_ms, peaks = [], [], []
        for _ in range(work.rounds):
            our_ms += [answer["ms"] / n for answer in at_once(ours, "steps")]
            their_ms += [answer["ms"] for answer in at_once(theirs, "steps")]
            peaks.append(sum(answer["gflops"] for answer in at_once(ours, "sgemm")))
    return Row(
        work.name,
        Spread.of(our_ms),
        Spread.of(their_ms) if their_ms else None,
        essential_flop(spec),
        Spread.of(peaks).median,
        bars=work.bars,
        note=work.note,
    )
