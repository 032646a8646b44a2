"""The same work on an accelerator, many runs side by side in one process."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from benchmarks.children import Child, on_cpu
from benchmarks.rows import Row, Spread, show
from benchmarks.works import WORKS, Work, essential_flop
from undergrowth.sweep import this_machine

PACKS = (1, 32, 256)


def pack_times(packs: Sequence[int] = PACKS, *, forced: bool = False) -> Iterator[Row]:
    """A row for each work and number of runs at once, per run-step; none without an accelerator.

    forced: on the CPU, to try it out.
    """
    if forced or this_machine().pack > 1:
        rows = (_row(work, pack, forced) for work in WORKS for pack in packs)
        yield from (row for row in rows if row is not None)


def _row(work: Work, pack: int, forced: bool) -> Row | None:
    spec = work.spec()
    setup = {"spec": spec.model_dump(mode="json"), "stretch": work.stretch, "pack": pack}
    with Child("benchmarks.ours", setup, on_cpu() if forced else dict(os.environ)) as child:
        child.answer()
        platform = child.ask("platform")["platform"]
        if platform == "cpu" and not forced:
            return None
        peak = child.ask("sgemm")["gflops"]
        found = [child.ask("steps")["ms"] / pack for _ in range(work.rounds)]
    name = f"{work.name}, {pack} runs at once on {platform}"
    return Row(name, Spread.of(found), flop=essential_flop(spec), peak_gflops=peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=int, nargs="+", default=PACKS)
    parser.add_argument("--cpu", action="store_true", help="try it out on the CPU")
    given = parser.parse_args()
    rows = list(pack_times(given.packs, forced=given.cpu))
    if not rows:
        sys.exit("jax finds no accelerator here: --cpu tries this out on the CPU")
    show(rows)


if __name__ == "__main__":
    main()
