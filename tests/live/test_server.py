"""`undergrowth serve` as it is used: on this machine only, one to a port, ended by Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live.conftest import SPEC, Planted, eventually
from undergrowth.cli.entry import exit_code
from undergrowth.live import serve
from undergrowth.live.watched import Board


@contextmanager
def serving(
    root: Path, port: int = 0, inherits: Any = signal.default_int_handler
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command at work, and its page's address; inherits: what its shell does at Ctrl-C."""
    command = [sys.executable, "-m", "undergrowth", "serve", str(root), "--port", str(port)]
    ours = signal.signal(signal.SIGINT, inherits)  # a child has what is ignored here, or the default
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
    finally:
        signal.signal(signal.SIGINT, ours)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found, said or (process.stderr and process.stderr.read())
        yield process, found.group()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "inherits",
    [signal.default_int_handler, signal.SIG_IGN],
    ids=["at a prompt", "in a shell's background"],
)
def test_it_streams_what_is_committed_and_ends_at_once_on_ctrl_c(
    planted: Planted, inherits: Any
) -> None:
    planted.account(SPEC)
    with (
        serving(planted.root, inherits=inherits) as (process, address),
        httpx.Client(timeout=60) as client,
    ):
        with client.stream("GET", f"{address}events") as stream:
            lines = stream.iter_lines()
            while SPEC.id not in next(lines):
                pass
            planted.point(SPEC, 10)
            while '"points":{"' not in next(lines):
                pass
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
            assert list(lines) is not None  # the stream has ended, too
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_an_error_of_ours_ends_it_with_what_it_was(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that no longer follows would look as if nothing happened."""

    def broken(self: Board, look: object, now: float) -> bool:
        raise RuntimeError("ours")

    monkeypatch.setattr(Board, "take", broken)
    with pytest.raises(RuntimeError, match="ours"):
        serve(planted.root, 0, lambda address: None)


def test_it_listens_on_this_machine_only(planted: Planted) -> None:
    with serving(planted.root) as (_, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
        addresses = [line.split()[1] for line in listening if line.split()[3] == "0A"]
        assert [each for each in addresses if each.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_a_port_in_use_is_said_in_one_line(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert exit_code(["serve", str(planted.root), "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"undergrowth: --port {port}: Address already in use: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_is_none_is_refused(port: str, tmp_path: Path) -> None:
    assert exit_code(["serve", str(tmp_path), "--port", port]) == 2


def test_there_is_no_way_to_serve_other_machines(tmp_path: Path) -> None:
    assert exit_code(["serve", str(tmp_path), "--host", "0.0.0.0"]) == 2


def test_a_directory_of_other_things_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert exit_code(["serve", str(tmp_path)]) == 2
    assert "is not an undergrowth store" in capsys.readouterr().err


def test_a_store_that_is_not_there_yet_can_be_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path / "soon") as (_, address):
        assert '"runs":[]' in httpx.get(address).text
        planted = Planted(tmp_path / "soon")
        planted.account(SPEC)
        eventually(lambda: SPEC.id in httpx.get(address).text)
        planted.close()


def test_the_command_line_starts_without_the_server() -> None:
    code = "import sys, undergrowth.cli; print({'starlette', 'uvicorn'} & {*sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
