"""Stores that are damaged or come from a stranger: each command ends in order, no number is wrong, and
nothing outside the store is read or written.

    python -m tests.campaigns.stores --n 500 --seed 0

Damage is done to a copy of a small whole store: files cut, flipped, emptied, taken away, or put in as
links, pipes and devices; rows rewritten with digests that fit, as somebody who means harm would.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

os.environ["NPROC"] = "1"  # before JAX starts

import jax
import numpy as np

from tests import tiny
from tests.campaigns.command import parser
from undergrowth.cli.entry import exit_code
from undergrowth.measures import Saliency
from undergrowth.store import Run, Store, StoreError, measured
from undergrowth.store.database import seal_of
from undergrowth.store.layout import databases, measured_database
from undergrowth.store.lock import writing
from undergrowth.store.rows import digest
from undergrowth.sweep import Layout, train
from undergrowth.sweep.measuring import read
from undergrowth.training.interventions import AtStep

PATIENCE = 60
"""Seconds after which a command is taken to hang."""

TRUNK = tiny.spec()
ARM = TRUNK.forked(AtStep(step=10))
DEEP = "[" * 100_000 + "]" * 100_000
ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\n\x9b31m"
Damage = Callable[[Path, random.Random], str]


def whole_store(root: Path) -> Path:
    """A trunk, a fork of it, and what was measured of it afterwards."""
    train([TRUNK, ARM], root, layout=Layout(workers=1), names={TRUNK.id: ["trunk"]})
    run = Store(root).run(TRUNK.id)
    with writing(root), measured.adding(root) as add:
        add(run.id, 10, Saliency(), read(run, Saliency(), 10))
    return root


def campaign(n: int, seed: int) -> int:
    """Run it and tell; returns the number of stores with which something was not as it must be."""
    tally: Counter[str] = Counter()
    n_failed = 0
    with tempfile.TemporaryDirectory(prefix="undergrowth-stores-") as folder:
        whole = whole_store(Path(folder) / "whole")
        known = numbers(whole)
        for case in range(n):
            rng = random.Random(f"{seed} {case}")
            name, damage = DAMAGES[case % len(DAMAGES)]
            place = Path(folder) / f"case-{case}"
            root = Path(shutil.copytree(whole, place / "store", symlinks=True))
            outside = place / "outside"
            outside.mkdir()
            (outside / "precious").write_text("precious")
            try:
                what = damage(root, rng)
                wrong = list(_tried(root, known, is_crafted=name in CRAFTED))
            except Exception:
                what, wrong = name, [f"the campaign itself: {traceback.format_exc()[-800:]}"]
            if (
                sorted(p.name for p in outside.iterdir()) != ["precious"]
                or (outside / "precious").read_text() != "precious"
            ):
                wrong.append("something outside the store was changed")
            tally[name] += 1
            for reason in wrong:  # at once: a campaign that is cut short has still told what it found
                print(f"FAILED case {case}, {what}: {reason}", flush=True)
            n_failed += bool(wrong)
            if (case + 1) % 50 == 0:
                print(f"{case + 1} of {n} stores, {n_failed} with failures", flush=True)
            shutil.rmtree(place, ignore_errors=True)
    for name, count in sorted(tally.items()):
        print(f"{name:28} {count:4} stores")
    print(f"{n} stores, {n_failed} with failures")
    return n_failed


def numbers(root: Path) -> dict[tuple[str, str], bytes]:
    """All readings of all runs, and the weights of all checkpoints."""
    found = {}
    for run in Store(root).runs:
        for name in run.names:
            found[run.id, name] = run[name].values.tobytes()
        for step in run.checkpoints:
            found[run.id, f"model {step}"] = _bytes_of(run.model(step))
    return found


def _bytes_of(model: object) -> bytes:
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(model))


def _tried(root: Path, known: Mapping[tuple[str, str], bytes], *, is_crafted: bool) -> Iterator[str]:
    for wrong in _from_python(root, known, is_crafted=is_crafted):
        yield f"Python: {wrong}"
    out = str(root.parent / "page.html")
    for command in (
        ["runs", str(root)],
        ["runs", str(root), "--json"],
        ["verify", str(root)],
        ["report", str(root), "--out", out],
        ["measure", str(root), "--measure", "norms", "--run", TRUNK.id, "--step", "999"],
    ):
        for wrong in _from_shell(command):
            yield f"{command[0]}: {wrong}"


def _from_python(
    root: Path, known: Mapping[tuple[str, str], bytes], *, is_crafted: bool
) -> Iterator[str]:
    try:
        with _alarm():
            runs = Store(root).runs
    except StoreError as error:
        if "\n" in str(error):
            yield f"an error of many lines: {error}"
        return
    except BaseException as error:
        yield _told(error)
        return
    for run in runs:
        for what, get in _to_be_had(run):
            try:
                with _alarm():
                    value = get()
            except (StoreError, KeyError) as error:
                if "\n" in str(error):
                    yield f"{what}: an error of many lines: {error}"
            except BaseException as error:
                yield f"{what}: {_told(error)}"
            else:
                mine = known.get((run.id, what))
                if not is_crafted and isinstance(value, bytes) and mine is not None and value != mine:
                    yield f"{what} of run {run.id} came back as another number, without a word"


def _to_be_had(run: Run) -> list[tuple[str, Callable[[], object]]]:
    """What can be asked of a run, by name."""
    asked: list[tuple[str, Callable[[], object]]] = [("events", lambda: run.events)]
    for name in _or_none(lambda: run.names):
        asked.append((name, lambda name=name: run[name].values.tobytes()))
    for step in _or_none(lambda: run.checkpoints):
        asked.append((f"model {step}", lambda step=step: _bytes_of(run.model(step))))
    return asked


def _or_none(get: Callable[[], tuple]) -> tuple:
    try:
        return get()
    except StoreError:
        return ()


def _from_shell(command: list[str]) -> Iterator[str]:
    out, said = io.StringIO(), io.StringIO()
    try:
        with _alarm(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = exit_code(command)
    except BaseException as error:
        yield _told(error)
        return
    if code not in (0, 1, 2):
        yield f"exit code {code}"
    if said.getvalue().count("\n") > 4:
        yield f"it says many lines: {said.getvalue()[:300]!r}"
    printed = out.getvalue() + said.getvalue()
    if any(ord(c) < 32 and c not in "\n\t" for c in printed) or "\x9b" in printed:
        yield f"control characters reach the terminal: {printed[:200]!r}"
    if "root:x:0" in printed:
        yield "a file of this machine is printed"
    if "--json" in command and code == 0:
        json.loads(out.getvalue())


def _told(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:150]} ({Path(where.filename).name}:{where.lineno})"


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise TimeoutError(f"it hangs for {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _flipped(root: Path, rng: random.Random) -> str:
    path = rng.choice([path for path in _files(root) if path.stat().st_size])
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    content[at] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    if rng.random() < 0.5:  # and no seal that would say so
        for database in (*databases(root), measured_database(root)):
            seal_of(database).unlink(missing_ok=True)
    return f"bit flipped at {at} of {path.relative_to(root)}"


def _cut(root: Path, rng: random.Random) -> str:
    path = rng.choice([path for path in _files(root) if path.stat().st_size])
    keep = rng.choice([0, 1, rng.randrange(path.stat().st_size)])
    path.write_bytes(path.read_bytes()[:keep])
    return f"{path.relative_to(root)} cut to {keep} bytes"


def _overwritten(root: Path, rng: random.Random) -> str:
    path = rng.choice(_files(root))
    path.write_bytes(rng.choice([bytes(4096), rng.randbytes(4096), DEEP.encode(), b'{"format": 1}']))
    return f"{path.relative_to(root)} overwritten"


def _gone(root: Path, rng: random.Random) -> str:
    path = rng.choice(sorted(root.rglob("*")))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return f"{path.relative_to(root)} taken away"


def _something_else(root: Path, rng: random.Random) -> str:
    path = rng.choice(sorted(root.rglob("*")))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    outside = root.parent / "outside"
    kind = rng.choice(["/dev/zero", "/etc/passwd", "loop", "outside", "file outside", "pipe", "folder"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        targets = {"loop": path, "outside": outside, "file outside": outside / "precious"}
        path.symlink_to(targets.get(kind, Path(kind)))
    return f"{path.relative_to(root)} is {kind}"


def _beside_a_database(root: Path, rng: random.Random) -> str:
    database = rng.choice([*databases(root), measured_database(root)])
    suffix = rng.choice(["-wal", "-journal", "-shm"])
    path = database.with_name(database.name + suffix)
    seal_of(database).unlink(missing_ok=True)
    kind = rng.choice(["noise", "empty", "link", "pipe"])
    if kind == "link":
        path.symlink_to(root.parent / "outside" / "precious")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(rng.randbytes(8192) if kind == "noise" else b"")
    return f"{path.relative_to(root)} is {kind}"


def _row(root: Path, rng: random.Random) -> str:
    """A row rewritten so that its digest fits."""
    table, columns = rng.choice(list(COLUMNS.items()))
    column = rng.choice(list(columns))
    value = rng.choice(columns[column])
    database = next(path for path in databases(root) if path.stem.startswith("worker"))
    seal_of(database).unlink(missing_ok=True)
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    row = rng.choice(connection.execute(f"SELECT rowid AS place, * FROM {table}").fetchall())
    told = {name: row[name] for name in row.keys() if name not in ("place", "digest")}  # noqa: SIM118
    told[column] = value
    if table != "files":
        told["digest"] = digest(*told.values())
    assignments = ", ".join(f"{name} = ?" for name in told)
    with contextlib.suppress(sqlite3.IntegrityError):
        connection.execute(
            f"UPDATE {table} SET {assignments} WHERE rowid = ?", [*told.values(), row["place"]]
        )
    connection.commit()
    connection.close()
    return f"{table}.{column} = {str(value)[:40]!r}"


def _schema(root: Path, rng: random.Random) -> str:
    statement = rng.choice(SCHEMAS)
    database = rng.choice([*databases(root), measured_database(root)])
    seal_of(database).unlink(missing_ok=True)
    connection = sqlite3.connect(database)
    connection.executescript(statement)
    connection.close()
    return statement[:60]


def _spec_with(**fields: object) -> str:
    return json.dumps({**TRUNK.model_dump(mode="json"), **fields})


COLUMNS: Mapping[str, Mapping[str, list]] = {
    "runs": {
        "run_id": ["", "../../x", ESCAPES, "0" * 16],
        "spec": [
            DEEP,
            "{}",
            "[]",
            "null",
            _spec_with(task={"name": "table", "path": "/etc/passwd"}),
            _spec_with(steps=10**30),
            _spec_with(fork={"of": TRUNK.id, "at": {"name": "at_step", "step": 5}}),
            "9" * 5000,
        ],
        "status": ["", ESCAPES, "running", "failed", "x" * 10_000],
        "message": [ESCAPES, "<script>alert(1)</script>", "x" * 100_000],
        "began": [-1.0, 1e308],
        "ended": [-1.0, None, 1e308],
        "environment": [DEEP, "[]", "1", json.dumps({ESCAPES: ESCAPES}), json.dumps({"a": {"b": 1}})],
    },
    "readings": {
        "run_id": ["", ARM.id],
        "name": ["", ESCAPES, "update_loss", "val_accuracy"],
        "step": [-1, 10**15, 5],
        "axes": ["[]", DEEP, "1", '[["step", null]]', "[[1, 2]]", '[["a", ["x"]], ["b", null]]', "{}"],
        "dtype": ["O", "U4", "<f8", "V4", "nonsense", "<M8[s]", ""],
        "shape": ["[]", "[-1]", "[1000000000000]", "1", DEEP, '["a"]', "[0]", "[2, 2]"],
        "content": [b"", b"\0" * 3, b"\0" * 64],
    },
    "events": {
        "step": [-1, 10**15],
        "kind": ["", ESCAPES, "fired", "forked", "diverged"],
        "detail": [DEEP, "[]", "1", "{}", '{"intervention": 99, "name": 7}'],
    },
    "files": {
        "path": ["/etc/passwd", "../outside/precious", "/dev/zero", "", "runs", "a\0b", ESCAPES],
        "step": [-1, 10**15, 7],
        "bytes": [-1, 10**15],
        "sha256": ["", "0" * 64],
    },
    "complete": {"names": [DEEP, "1", '["nothing"]', "[1, 2]"]},
}

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
SCHEMAS = (
    f"DROP TABLE events; CREATE VIEW events AS {ENDLESS} i AS run_id, i AS step, i AS kind FROM n;",
    f"ALTER TABLE runs RENAME TO r; CREATE VIEW runs AS {ENDLESS} i AS run_id, i AS spec FROM n;",
    "CREATE TRIGGER t AFTER INSERT ON readings BEGIN DELETE FROM readings; END;",
    "CREATE TABLE more (x);",
    "DROP TABLE runs;",
    "DROP TABLE readings;",
    "DROP TABLE files;",
    "DROP TABLE events; CREATE TABLE events (run_id, step, kind, detail, digest);",
)

DAMAGES: tuple[tuple[str, Damage], ...] = (
    ("a bit flipped", _flipped),
    ("a file cut", _cut),
    ("a file overwritten", _overwritten),
    ("something gone", _gone),
    ("a link, pipe or device", _something_else),
    ("a file beside a database", _beside_a_database),
    ("a row rewritten", _row),
    ("a row rewritten again", _row),
    ("a schema of another", _schema),
)
CRAFTED = ("a row rewritten", "a row rewritten again", "a schema of another")


def main(arguments: list[str]) -> int:
    """Parse the command line and run."""
    given = parser(__doc__, 500).parse_args(arguments)
    return 1 if campaign(given.n, given.seed) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
