"""Workers are forked of one process for as long as what is read at a start stays the same."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, chdir, contextmanager
from multiprocessing import Pipe
from pathlib import Path

import psutil
import pytest

from tests import tiny
from undergrowth.store import verify
from undergrowth.sweep import Layout, Progress, SweepError, processes, train
from undergrowth.sweep.processes import CannotStartError, ForkServer, fork_server

SPEC = tiny.spec()


@pytest.fixture
def server() -> ForkServer:
    """One of its own, which no other test has."""
    return ForkServer(os.environ)


def test_it_is_kept_while_what_an_interpreter_reads_as_it_starts_is_the_same(tmp_path: Path) -> None:
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    first = fork_server(base)
    assert fork_server({**base, "NPROC": "3", "UNDERGROWTH_WITH": "[]", "HOME": "/"}) is first
    other = fork_server({**base, "XLA_FLAGS": ""})
    assert other is not first
    assert fork_server({**base, "XLA_FLAGS": ""}) is other


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def few_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def one_core() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    "other",
    [umask(0o077), few_files(), one_core(), chdir("/")],
    ids=["umask", "limit", "affinity", "folder"],
)
def test_another_is_started_where_a_child_would_inherit_something_else(
    other: AbstractContextManager[None],
) -> None:
    first = fork_server(os.environ)
    with other:
        assert fork_server(os.environ) is not first


def test_a_fork_has_its_own_environment_folder_and_output(server: ForkServer, tmp_path: Path) -> None:
    heard, told = Pipe()
    wrong = {"PATH": "/nowhere", "UNDERGROWTH_WITH": "no JSON"}
    with heard, told:
        worker = server.fork((str(tmp_path), "", ""), wrong, (told.fileno(),))
        told.close()
        with pytest.raises(EOFError):
            heard.recv()
    assert worker.wait() == 1
    with worker.stdout:
        assert worker.stdout.read().splitlines()[-1].startswith(b"json.decoder.JSONDecodeError")


def ended_by(part: str, folder: Path) -> list[bytes]:
    """What a worker has printed by whose part the store's writer is a function that ends it."""
    mine, text = folder / "mine.py", f"{part}import undergrowth.store.writer\n"
    text += "undergrowth.store.writer.Writer = lambda *_: leave()\n"
    mine.write_text(text)
    digest = hashlib.sha256(json.dumps([text]).encode()).hexdigest()[:16]
    told = json.dumps([[str(mine), "", str(folder), digest]])
    environment = {**os.environ, "UNDERGROWTH_WITH": told}
    heard, its = Pipe()
    with heard, its:
        worker = fork_server(environment).fork((str(folder), "w", ""), environment, (its.fileno(),))
        code = worker.wait()
    with worker.stdout:
        said = worker.stdout.read().splitlines()
    assert code == 1, said
    return said


def test_what_a_part_of_ones_own_says_as_it_ends_a_worker_is_heard(tmp_path: Path) -> None:
    """And what it has written to a file is there, as when any interpreter ends."""
    part = f"""
import sys
log = open({str(tmp_path / "log")!r}, "w")
log.write("whole")
def leave(): sys.exit("no licence")
"""
    assert ended_by(part, tmp_path)[-1] == b"no licence"
    assert (tmp_path / "log").read_text() == "whole"


def test_forks_have_random_numbers_of_their_own(tmp_path: Path) -> None:
    part = "import sys, numpy\ndef leave(): sys.exit(str(numpy.random.rand()))\n"
    assert ended_by(part, tmp_path)[-1] != ended_by(part, tmp_path)[-1]


def test_the_signal_that_ended_a_fork_is_its_code(server: ForkServer, tmp_path: Path) -> None:
    heard, told = Pipe()
    with heard, told:
        worker = server.fork((str(tmp_path), "", ""), os.environ, (told.fileno(),))
        worker.kill()
        assert worker.wait() == worker.wait() == -signal.SIGKILL
    worker.stdout.close()
    worker.kill()  # a number that may be another's by now: nothing is sent


def test_a_killed_server_loses_no_run_and_another_takes_its_place(tmp_path: Path) -> None:
    killed: list[ForkServer] = []

    def kill_once(progress: Progress) -> None:
        if not killed and progress.step > 0:
            (server,) = processes._KEPT.values()
            killed.append(server)
            server.process.kill()
            server.process.wait()

    train([SPEC], tmp_path, layout=Layout(workers=1), progress=kill_once)
    store = train([SPEC.seeded(1)], tmp_path, layout=Layout(workers=1))
    assert [run.status for run in store.runs] == ["done", "done"]
    assert verify(tmp_path).damage == ()
    assert killed[0] not in processes._KEPT.values()


def test_one_that_ends_says_so_in_one_line(
    tmp_path: Path, server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.process.kill()
    with pytest.raises(CannotStartError) as error:
        server.fork((), {}, ())
    assert error.value.code == -signal.SIGKILL
    monkeypatch.setattr("undergrowth.sweep.processes.fork_server", lambda _: server)
    with pytest.raises(SweepError, match=r"workers cannot start \(killed by signal 9") as told:
        train([SPEC], tmp_path, layout=Layout(workers=1))
    assert "\n" not in str(told.value)


def test_an_interrupted_order_is_the_last(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("undergrowth.sweep.processes.send_handle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.fork((str(tmp_path), "", ""), os.environ, (0,))
    assert not server.serves


def test_an_error_on_this_side_is_no_end_of_the_server_and_nothing_waits(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("undergrowth.sweep.processes.send_handle", none_left)
    with pytest.raises(OSError, match="Too many open files"):
        server.fork(("", "", ""), os.environ, (0,))
    assert not server.serves


def test_ctrl_c_while_workers_start_leaves_none_that_keeps_the_store(tmp_path: Path) -> None:
    """Though the frames that hold its channel are kept, as a notebook keeps those of its last error."""
    command = [sys.executable, "-c", INTERRUPTED, tmp_path / "store"]
    here = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.stdout == "interrupted\nfree\n", done.stderr


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from tests import tiny
from undergrowth.store.lock import is_being_written
from undergrowth.sweep import Layout, processes, train

def interrupt(when_begun=processes.ForkServer.__init__):
    def begun(self, environment):
        when_begun(self, environment)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    return begun

processes.ForkServer.__init__ = interrupt()
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell put in the background
root = Path(sys.argv[1])
try:
    train([tiny.spec()], root, layout=Layout(workers=1))
except KeyboardInterrupt as error:
    kept = error
    print("interrupted")
time.sleep(4)
print("busy" if is_being_written(root) else "free")
"""


def test_children_that_are_ignored_here_are_waited_for_there(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        heard, its = Pipe()
        with heard, its:
            worker = ForkServer(os.environ).fork((str(tmp_path), "", ""), os.environ, (its.fileno(),))
            worker.kill()
            assert worker.wait() == -signal.SIGKILL
        worker.stdout.close()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_it_ends_when_nobody_refers_to_it() -> None:
    server = ForkServer(os.environ)
    pid = server.process.pid
    del server
    assert not psutil.pid_exists(pid)
