"""Workers are forked of one process for as long as what is read at a start stays the same."""

from __future__ import annotations

import os
import signal
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


def test_a_relative_path_of_modules_is_read_anew_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute, relative = {"PYTHONPATH": str(tmp_path)}, {"PYTHONPATH": f"{tmp_path}:mine"}
    first = fork_server(absolute)
    monkeypatch.chdir(tmp_path)
    assert fork_server(absolute) is first
    second = fork_server(relative)
    monkeypatch.chdir("/")
    assert fork_server(relative) is not second


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


def test_it_ends_when_nobody_refers_to_it() -> None:
    server = ForkServer(os.environ)
    pid = server.process.pid
    del server
    assert not psutil.pid_exists(pid)
