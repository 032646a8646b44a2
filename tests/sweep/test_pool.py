"""What a worker prints is no answer; one that dies is replaced; none outlives its starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import tiny
from undergrowth.store import Store, verify
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.sweep import Layout, Progress, SweepError, train
from undergrowth.sweep.pool import Died, Pool

SPEC = tiny.spec()
LONG = tiny.spec(steps=200_000, measures=[{"name": "curves", "schedule": {"every": 5_000}}])
STAND_INS = ("random.py", "token.py", "types.py", "json.py")


@pytest.fixture
def at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of Python that every process runs as it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    return folder / "sitecustomize.py"


@pytest.fixture(params=["forked", "interpreters"])
def by_either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers as on Linux, and as elsewhere."""
    monkeypatch.setattr("undergrowth.sweep.processes.FORKS", request.param == "forked")


def workers_of(process: int) -> list[psutil.Process]:
    """The workers of a process that are alive; it, or one of them, may end while it is looked at."""
    try:
        children = psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _is_a_living_worker(child)]


def _is_a_living_worker(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return _runs("worker", process) or (
            _runs("forkserver", process) and parent is not None and _runs("forkserver", parent)
        )
    except psutil.NoSuchProcess:  # a zombie too
        return False


def _runs(module: str, process: psutil.Process) -> bool:
    return f"undergrowth.sweep.{module}" in process.cmdline()


def test_what_is_printed_in_a_worker_is_no_answer(tmp_path: Path, at_start: Path) -> None:
    at_start.write_text(
        "import os, sys\n"
        "print('{\"run\": 1}', flush=True)\n"
        "os.write(1, b'\\xff\\n' * 100_000)\n"
        "os.write(2, b'noise' * 100_000)\n"
    )
    (run,) = train([SPEC], tmp_path / "store", layout=Layout(workers=1)).runs
    assert run.status == "done"


def test_files_of_the_working_directory_stand_in_for_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in STAND_INS:
        (tmp_path / name).write_text("raise RuntimeError('not me')")
    monkeypatch.chdir(tmp_path)
    (run,) = train([SPEC], "store", layout=Layout(workers=1)).runs
    assert run.status == "done"


def test_a_worker_that_cannot_start_ends_the_sweep_with_its_last_line(
    tmp_path: Path, at_start: Path
) -> None:
    at_start.write_text("import os\nprint('no such device', flush=True)\nos._exit(7)\n")
    with pytest.raises(SweepError, match=r"exit code 7, no such device") as error:
        train([SPEC], tmp_path / "store", layout=Layout(workers=1))
    assert "\n" not in str(error.value)


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_once(progress: Progress) -> None:
        if not killed and progress.spec.id == LONG.id and progress.step > 0:
            (worker,) = workers_of(os.getpid())
            killed.append(worker.pid)
            worker.kill()

    store = train([LONG, SPEC], tmp_path, layout=Layout(workers=1), progress=kill_once)
    assert killed
    assert {run.status for run in store.runs} == {"done"}
    assert verify(tmp_path).damage == ()


def test_a_run_of_which_workers_die_fails_and_the_others_go_on(tmp_path: Path) -> None:
    deaths: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.spec.id == LONG.id and not progress.ended and progress.step > 0:
            for worker in workers_of(os.getpid()):
                if worker.pid not in deaths:
                    deaths.append(worker.pid)
                    worker.kill()

    store = train([LONG, SPEC], tmp_path, layout=Layout(workers=1), progress=kill)
    status = {run.id: (run.status, run.message) for run in store.runs}
    assert len(deaths) == 2
    assert status[SPEC.id] == ("done", "")
    assert status[LONG.id][0] == "failed"
    assert "a worker died of it 2 times (the last: killed by signal 9" in status[LONG.id][1]
    assert verify(tmp_path).damage == ()


def test_a_worker_is_let_go_before_what_it_has_compiled_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERGROWTH_MOST_COMPILED", "1")
    seen: set[int] = set()

    def note(progress: Progress) -> None:
        seen.update(worker.pid for worker in workers_of(os.getpid()))

    shapes = [tiny.spec(model={"name": "two_token_mlp", "d_embed": 4, "d_mlp": n}) for n in (3, 4, 5)]
    store = train(shapes, tmp_path, layout=Layout(workers=1), progress=note)
    assert [run.status for run in store.runs] == ["done"] * 3
    assert len(seen) == 3


@pytest.mark.parametrize("command", ["run", "measure"])
def test_workers_follow_a_starter_that_is_killed(tmp_path: Path, command: str) -> None:
    spec_file, root = tmp_path / "spec.toml", tmp_path / "store"
    spec_file.write_text(LONG.to_toml())
    arguments = ["run", str(spec_file), "--out", str(root)]
    if command == "measure":
        train([SPEC], root, layout=Layout(workers=1))
        mine = tmp_path / "mine.py"
        mine.write_text(SLOW)
        arguments = ["measure", str(root), "--measure", f"{mine}:Slow"]
    process = subprocess.Popen(
        [sys.executable, "-m", "undergrowth.cli", *arguments], stdout=subprocess.DEVNULL
    )
    workers: list[psutil.Process] = []
    while not workers and process.poll() is None:
        workers = workers_of(process.pid)
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert gone
    assert not alive
    with writing(root, patience=30):
        assert verify(root).damage == ()


SLOW = """
import time
from typing import Literal
from undergrowth.measures import Measure, scalar

class Slow(Measure):
    name: Literal["slow"] = "slow"

    def observe(self, model, data, at):
        time.sleep(600 if at.step else 0)
        return {"slow": scalar(1.0)}
"""


def test_ctrl_c_stops_measuring_and_keeps_what_was_measured(tmp_path: Path) -> None:
    root, mine = tmp_path / "store", tmp_path / "mine.py"
    train([SPEC], root, layout=Layout(workers=1))
    mine.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDING, "measure", str(root), "--measure", f"{mine}:Slow"],
        stderr=subprocess.PIPE,
        text=True,
    )
    run = Store(root).runs[0]
    while "slow" not in Store(root).run(run.id).names and process.poll() is None:
        time.sleep(0.1)
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert said.count("\n") == 1
    assert not psutil.wait_procs(workers, timeout=60)[1]
    assert Store(root).run(run.id)["slow"]["step"].values.tolist() == [0]
    assert verify(root).damage == ()


HEEDING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from undergrowth.cli import main
main()
"""


@pytest.mark.usefixtures("by_either_way")
def test_a_pool_leaves_no_process_behind(tmp_path: Path) -> None:
    create(tmp_path)
    with writing(tmp_path) as lock, Pool(tmp_path, 1, lock) as pool:
        worker = pool.start("worker-0")
        answers = pool.answers()
        assert next(answers)[1] == {"ready": "cpu"}
        worker.process.kill()
        heard, died = next(answers)
        assert heard is worker
        assert isinstance(died, Died)
        assert died.code == -9
        other = pool.start("worker-1")
        assert psutil.pid_exists(other.process.pid)
    assert other.process.returncode == -9
    assert not psutil.pid_exists(other.process.pid)
