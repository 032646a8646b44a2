"""A worker's process: a fork of one that has imported all it needs, or an interpreter of its own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import IO, Any

FORKS = sys.platform == "linux"
"""Elsewhere the system's own libraries may begin threads, which a fork would lose."""

PYTHON = (sys.executable, "-P", "-m")
"""-P: files of the working directory must not stand in for modules of the same name."""

UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
"""What a worker prints is there when it dies."""

READ_AT_START = ("CUDA", "JAX", "LD_", "MKL", "OMP", "OPENBLAS", "PYTHON", "UNDERGROWTH", "XLA")
"""How the names of variables begin that are read once, as an interpreter or a library starts."""

READ_BY_A_WORKER = ("UNDERGROWTH_WITH",)

RLIMITS = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))


class CannotStartError(Exception):
    """The process that forks has ended: its exit code, and what it printed."""

    def __init__(self, code: int, said: bytes) -> None:
        super().__init__(code, said)
        self.code, self.said = code, said


def begun(
    arguments: Sequence[str], environment: Mapping[str, str], channel: int, right_to_write: int
) -> Forked | subprocess.Popen[bytes]:
    """A process that runs `worker.main` with these arguments, and has two open files.

    Raises CannotStartError.
    """
    if FORKS:
        return fork_server(environment).fork(arguments, environment, (channel, right_to_write))
    return subprocess.Popen(
        (*PYTHON, "undergrowth.sweep.worker", *arguments, str(channel)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, **UNBUFFERED},
        pass_fds=(channel, right_to_write),
    )


@dataclass(eq=False)
class Forked:
    """A worker, with as much of `subprocess.Popen` as a pool needs."""

    pid: int
    stdout: IO[bytes]
    server: ForkServer
    returncode: int | None = None

    def kill(self) -> None:
        """End it, while its server is there and so its number nobody else's; else it ends with its
        channel.
        """
        if self.returncode is None and self.server.serves:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; its exit code, or minus the signal that killed it."""
        if self.returncode is None:
            self.returncode = self.server.wait(self.pid)
        return self.returncode


class ForkServer:
    """The process that forks. It ends with this one, or when nothing here refers to it any more."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.lock = threading.Lock()
        self.said = tempfile.TemporaryFile()  # noqa: SIM115
        self.channel, its = Pipe()
        with its:
            self.process = subprocess.Popen(
                (*PYTHON, "undergrowth.sweep.forkserver", str(its.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=self.said,
                stderr=subprocess.STDOUT,
                env={**environment, **UNBUFFERED},
                pass_fds=(its.fileno(),),
            )
        weakref.finalize(self, _let_go, self.channel, self.process, self.said)

    @property
    def serves(self) -> bool:
        """Whether it can be asked."""
        return not self.channel.closed and self.process.poll() is None

    def fork(
        self, arguments: Sequence[str], environment: Mapping[str, str], files: Sequence[int]
    ) -> Forked:
        """A worker with these arguments, and open files of which the first is its channel.

        Raises CannotStartError.
        """
        ours, its = os.pipe()
        order = {"arguments": arguments, "environment": {**environment}}
        printed = open(ours, "rb", buffering=0)  # noqa: SIM115
        try:
            return Forked(self._ask(order, (its, *files)), printed, self)
        except BaseException:
            printed.close()
            raise
        finally:
            os.close(its)

    def wait(self, pid: int) -> int:
        """Wait for a worker's end; its exit code, or this server's where it was killed before."""
        if not self.serves:
            return self.process.wait()
        try:
            return self._ask({"wait": pid})
        except CannotStartError as error:
            return error.code

    def _ask(self, order: dict[str, Any], files: Sequence[int] = ()) -> int:
        with self.lock:
            try:
                self.channel.send(order | {"files": len(files)})
                for file in files:
                    send_handle(self.channel, file, self.process.pid)
                return self.channel.recv()
            except (EOFError, BrokenPipeError, ConnectionResetError):
                self.said.seek(0)
                raise CannotStartError(self.process.wait(), self.said.read()) from None
            except BaseException:  # Ctrl-C: its answer would be taken for that to the next order
                self.channel.close()
                self.process.kill()
                raise


def _let_go(channel: Connection, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    channel.close()
    process.kill()
    process.wait()
    said.close()


_KEPT: dict[object, ForkServer] = {}
"""The last one, by what it was started with."""
_KEEPING = threading.Lock()


def fork_server(environment: Mapping[str, str]) -> ForkServer:
    """One for this environment, kept for as long as a process that is started here inherits the same."""
    at_start = {
        name: value
        for name, value in environment.items()
        if name.startswith(READ_AT_START) and name not in READ_BY_A_WORKER
    }
    key = *_inherited(), *sorted(at_start.items())
    with _KEEPING:
        kept = _KEPT.get(key)
        if kept is None or not kept.serves:
            _KEPT.clear()
            kept = _KEPT[key] = ForkServer(environment)
        return kept


def _inherited() -> Iterator[object]:
    """What a process has from the one that starts it, besides its environment and open files."""
    folder = os.stat(".")
    yield from (os.getpid(), folder.st_dev, folder.st_ino)
    yield from (frozenset(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0))
    yield from (resource.getrlimit(getattr(resource, name)) for name in RLIMITS)
    status = Path("/proc/self/status").read_text()
    yield next((line for line in status.splitlines() if line.startswith("Umask:")), None)
