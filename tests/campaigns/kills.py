"""Kills, full disks and input errors at every call that changes a store: what was stored stays, what is
started again ends as if nothing had been.

    python -m tests.campaigns.kills --trials 1500 --seed 0

Each trial forks a process that works on a copy of a store, arms `faults.c` in it and lets it die (or
fail) at its n-th call that changes the directory. Another process then looks at what is left; once in
so many trials (`--restart-every`) it starts the work again and compares the result with that of
uninterrupted work, bit by bit.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.campaigns.command import parser

os.environ["NPROC"] = "1"  # before JAX starts, which it must not in the process that forks

KINDS = {"kill": 1, "EIO": 2, "ENOSPC": 3}
FAILED, ARMED = 3, "UNDERGROWTH_FAULTS"
SOURCE = Path(__file__).with_name("faults.c")


@dataclass(frozen=True)
class Trial:
    """What is done, and at which of its calls what goes wrong."""

    work: str
    kind: str
    at: int
    is_restarted: bool = True


@dataclass(frozen=True)
class Base:
    """A store before the work, what it holds after uninterrupted work, and the calls that this made."""

    before: Path | None
    after: Mapping[str, str]
    calls: int


def with_faults(arguments: list[str]) -> int:
    """This program anew, with the library of faults before all others."""
    with tempfile.TemporaryDirectory(prefix="undergrowth-faults-") as folder:
        environment = {**os.environ, "LD_PRELOAD": str(built(Path(folder))), ARMED: "1"}
        again = [sys.executable, "-m", "tests.campaigns.kills", *arguments]
        return subprocess.run(again, env=environment, check=False).returncode


def built(folder: Path) -> Path:
    """The library of faults, compiled into a folder."""
    library = folder / "faults.so"
    build = ["cc", "-shared", "-fPIC", "-O1", "-w", str(SOURCE), "-o", str(library), "-ldl"]
    subprocess.run(build, check=True)
    return library


def campaign(n_trials: int, seed: int, processes: int, restart_every: int = 1) -> int:
    """Run it and tell; returns the number of trials in which something was not as it must be."""
    with tempfile.TemporaryDirectory(prefix="undergrowth-kills-") as folder:
        bases = {name: _prepared(name, Path(folder)) for name in WORKS}
        drawn = enumerate(_drawn(bases, n_trials, seed))
        trials = [replace(trial, is_restarted=i % restart_every == 0) for i, trial in drawn]
        parts = [trials[part::processes] for part in range(processes)]
        children = [_begun(lambda part=part: _all_of(part, bases, Path(folder))) for part in parts]
        results = [result for child in children for result in _ended(*child)[1] or [LOST]]
    counted = Counter((work, kind) for work, kind, _, _ in results)
    for (work, kind), n in sorted(counted.items()):
        calls = bases[work].calls if work in bases else 0
        print(f"{work:8} {kind:7} {n:5} trials over {calls} calls")
    failures = sum(bool(wrong) for *_, wrong in results)
    print(f"{len(results)} trials, {failures} failures")
    return failures


LOST = ("?", "?", 0, "the process that tried them died")


def _all_of(
    trials: list[Trial], bases: Mapping[str, Base], folder: Path
) -> list[tuple[str, str, int, str]]:
    results = []
    for done, t in enumerate(trials, 1):
        results.append((t.work, t.kind, t.at, wrong := _tried(t, bases[t.work], folder)))
        if wrong:  # at once: a long campaign that is cut short has still told what it found
            print(f"FAILED {t.work} {t.kind} at call {t.at}: {wrong}", flush=True)
        if done % 50 == 0:
            failed = sum(bool(result[3]) for result in results)
            print(f"{done} of {len(trials)} trials of a process, {failed} failures", flush=True)
    return results


def _prepared(name: str, folder: Path) -> Base:
    before = None
    if name != "train":
        before = folder / f"{name}-before"
        _ended(*_begun(lambda: WORKS["train"](before)))
    whole = folder / f"{name}-whole"
    if before is not None:
        shutil.copytree(before, whole)
    code, calls = _ended(*_begun(lambda: _counted(WORKS[name], whole)))
    assert code == 0, calls
    code, after = _ended(*_begun(lambda: contents(whole)))
    assert code == 0, after
    assert calls, f"{name} changes nothing"
    assert after, f"{name} leaves nothing"
    return Base(before, after, calls)


def _counted(work: Callable[[Path], None], root: Path) -> int:
    _arm(root, 0, 0)
    work(root)
    return _library().fault_count()


def _drawn(bases: Mapping[str, Base], n_trials: int, seed: int) -> Iterator[Trial]:
    """Every call of every work in turn, two kills for each that fails in another way."""
    rng = random.Random(seed)
    everywhere = [
        Trial(work, kind, at)
        for work, base in bases.items()
        for kind in KINDS
        for at in range(1, base.calls + 1)
    ]
    kills = [trial for trial in everywhere if trial.kind == "kill"]
    others = [trial for trial in everywhere if trial.kind != "kill"]
    rng.shuffle(kills)
    rng.shuffle(others)
    n_kills = 2 * n_trials // 3
    yield from (kills[i % len(kills)] for i in range(n_kills))
    yield from (others[i % len(others)] for i in range(n_trials - n_kills))


def _tried(trial: Trial, base: Base, folder: Path) -> str:
    """What is wrong after a trial; nothing where all is as it must be."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place) / "store"
        if base.before is not None:
            shutil.copytree(base.before, root)
        code, told = _ended(*_begun(lambda: _until_it_breaks(trial, root)))
        if code not in ((-9,) if trial.kind == "kill" else (0, FAILED)):
            return f"the work ended with {code}: {told}"
        code, wrong = _ended(*_begun(lambda: _looked_at(trial, base, root)))
        return wrong if code == 0 else f"looking at it ended with {code}: {wrong}"


def _until_it_breaks(trial: Trial, root: Path) -> None:
    from undergrowth.store import StoreError
    from undergrowth.sweep.worker import OF_THE_STORE

    _arm(root, trial.at, KINDS[trial.kind])
    try:
        WORKS[trial.work](root)
    except (*OF_THE_STORE, StoreError):
        os._exit(FAILED)


def _looked_at(trial: Trial, base: Base, root: Path) -> str:
    again = (lambda: WORKS[trial.work](root)) if trial.is_restarted else None
    return compared(root, base.after, again)


def compared(root: Path, after: Mapping[str, str], again: Callable[[], object] | None) -> str:
    """What is wrong with a store after a kill, and after the work was done again; '' where nothing is.

    after: what uninterrupted work leaves. What `again` returns, if anything, is wrong.
    """
    from undergrowth.store import Store, StoreError, verify

    kept: Mapping[str, str] = {}
    try:
        runs = Store(root).runs
        if (found := verify(root)).damage:
            return f"before it is started again: {found.damage[0]}"
        # how a run stood is kept until its end is written, and then swept up
        ended = contents(root, of_ended=True)
        kept = {key: value for key, value in ended.items() if not key.endswith("/now.safetensors")}
        if any(run.status == "running" for run in runs):
            return "a run is called running that nobody trains"
    except StoreError as error:
        if "is not an undergrowth store" not in str(error):
            return f"it cannot be read: {error}"
    if again is None:
        wrong = [key for key, value in kept.items() if after.get(key) != value]
        return f"{wrong[0]} is not that of uninterrupted work" if wrong else ""
    if wrong := again():
        return str(wrong)
    if (found := verify(root)).damage:
        return f"after it was started again: {found.damage[0]}"
    now = contents(root)
    if now != after:
        differing = sorted(k for k in {*now, *after} if now.get(k) != after.get(k))
        return f"{len(differing)} things differ from uninterrupted work, as {differing[0]}"
    if lost := [key for key in kept if key not in now]:
        return f"{lost[0]} was stored and is lost"
    left = [str(path.relative_to(root)) for path in root.rglob("*.tmp*")]
    return f"{left[0]} is left behind" if left else ""


def contents(root: Path, *, of_ended: bool = False) -> dict[str, str]:
    """A digest of everything that a store holds and that may not depend on when it was written."""
    from undergrowth.store import Store

    found: dict[str, str] = {}
    for run in Store(root).runs:
        if of_ended and not run.has_ended:
            continue
        found[f"{run.id} status"] = run.status
        found[f"{run.id} given names"] = " ".join(run.given_names)
        found[f"{run.id} parts"] = str(run.parts)
        for name in run.names:
            array = run[name]
            for step, values in zip(array["step"].values.tolist(), array.values, strict=True):
                found[f"{run.id} {name} {step}"] = _digest(values.tobytes())
        found[f"{run.id} events"] = _digest(str(run.events.to_json()).encode())
        for path in sorted((root / "runs" / run.id).rglob("*")):
            if path.is_file():
                found[str(path.relative_to(root))] = _digest(path.read_bytes())
    for path in (root / "report.html", root / "verdicts.json"):
        if path.exists():
            found[path.name] = "there"
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _begun(work: Callable[[], object]) -> tuple[int, int]:
    """A process that does something: its number, and where it will say what it returned."""
    reads, writes = os.pipe()
    if child := os.fork():
        os.close(writes)
        return child, reads
    os.close(reads)
    code, told = 0, None
    try:
        told = work()
    except BaseException as error:
        code, told = 1, "".join(traceback.format_exception(error))[-1500:]
    with os.fdopen(writes, "w") as out:
        json.dump(told, out)
    os._exit(code)


def _ended(child: int, reads: int) -> tuple[int, Any]:
    """A process seen to its end: its exit code, and what it returned."""
    with os.fdopen(reads) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(text) if text else None


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.fault_count.restype = ctypes.c_long
    return library


def _arm(root: Path, at: int, kind: int) -> None:
    _library().fault_arm(os.fsencode(root), ctypes.c_long(at), kind)


def _train(root: Path) -> None:
    from tests.sweep.in_process import work
    from tests.sweep.test_forks import ARM, AT_17, TRUNK
    from undergrowth.store import Part
    from undergrowth.store.layout import create
    from undergrowth.store.lock import writing
    from undergrowth.store.writer import Writer, keep_names

    create(root)
    with writing(root):
        part = Part("a study", "quick", "trunk", "control", 0)
        keep_names(root, {TRUNK.id: ["trunk"]}, {TRUNK.id: [part]})
        work(root, [TRUNK], {TRUNK.id: [AT_17]}, keep_every=-1.0)
        work(root, [ARM])
        Writer(root, "worker-0").close()


def _measure(root: Path) -> None:
    from tests.sweep.test_forks import TRUNK
    from undergrowth.measures import Saliency
    from undergrowth.store import Store, measured
    from undergrowth.store.lock import writing
    from undergrowth.sweep.measuring import read

    run, by = Store(root).run(TRUNK.id), Saliency()
    with writing(root):
        known = measured.steps_measured(root, run.id).get(by.key, {})
        with measured.adding(root) as add:
            for step in run.checkpoints:
                if step not in known:
                    add(run.id, step, by, read(run, by, step))


def _report(root: Path) -> None:
    from undergrowth.store import Store
    from undergrowth.studies.conducting import places, write_report

    store = Store(root)
    write_report(store, (), "undergrowth report", places(store))


WORKS: Mapping[str, Callable[[Path], None]] = {"train": _train, "measure": _measure, "report": _report}


def main(arguments: list[str]) -> int:
    """Parse the command line and run."""
    known = parser(__doc__, 1500, "--trials")
    known.add_argument("--processes", type=int, default=2)
    known.add_argument("--restart-every", type=int, default=1)
    given = known.parse_args(arguments)
    if ARMED not in os.environ:
        return with_faults(arguments)
    import tests.conftest  # noqa: F401 (the cache of compiled steps)

    return 1 if campaign(given.trials, given.seed, given.processes, given.restart_every) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
