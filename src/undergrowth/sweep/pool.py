"""Worker processes: started, handed work, heard, replaced when they die, and never left behind.

An answer comes over a channel of its own, so whatever a worker prints is only something that it said. A
worker whose starter is gone sees the channel end and stops at once.
"""

from __future__ import annotations

import os
import selectors
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from undergrowth.own_parts import told_to_others
from undergrowth.sweep.processes import CannotStartError, Forked, begun

KEPT_LINES, KEPT_OF_A_LINE = 20, 1000
"""What is kept of what a worker prints: the last lines, and of each the last bytes."""


class SweepError(RuntimeError):
    """A sweep that could not continue; the store is intact, and the same command resumes from it."""


@dataclass(frozen=True)
class Died:
    """What is heard last of a worker: how it ended, and what it printed last."""

    code: int
    said: str

    def describe(self) -> str:
        """In words."""
        how = f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{how}, {self.said or 'it said nothing'}"


@dataclass(eq=False)
class Worker:
    """A process, and what it is at: None while it waits for something to do."""

    name: str
    process: subprocess.Popen[bytes] | Forked
    channel: Connection
    task: Any = None
    is_ready: bool = False
    said: deque[bytes] = field(default_factory=lambda: deque([b""], maxlen=KEPT_LINES))

    def tell(self, **order: Any) -> None:
        """Hand it an order; if it is dying, the end of its channel says so."""
        with suppress(OSError):
            self.channel.send(order)

    def listen(self) -> bool:
        """Take in a piece of what it has printed, without waiting for more; whether more can come."""
        assert self.process.stdout is not None
        try:
            text = os.read(self.process.stdout.fileno(), 2**16)
        except BlockingIOError:
            return True
        first, *more = text.split(b"\n")
        self.said[-1] = (self.said[-1] + first)[-KEPT_OF_A_LINE:]
        self.said.extend(line[-KEPT_OF_A_LINE:] for line in more)
        return bool(text)

    def last_words(self) -> str:
        """The last line that it printed."""
        self.listen()
        return _last_line(self.said)

    def end(self) -> None:
        """See it gone, however it stands."""
        self.process.kill()
        self.process.wait()
        self.channel.close()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Pool:
    """Workers of one store with so many XLA threads each; within `with`, and none outlives it."""

    def __init__(self, root: Path, threads: int, right_to_write: int) -> None:
        self.root, self.threads, self.right_to_write = root, threads, right_to_write
        self.workers: list[Worker] = []
        self.heard = selectors.DefaultSelector()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()
        self.heard.close()

    def start(self, name: str, *, writes: bool = True) -> Worker:
        """One more worker, which writes to the database of that name, or only measures."""
        ours, its = Pipe()
        try:
            process = self._begun((str(self.root), name if writes else "", cache()), its.fileno())
        except BaseException:
            ours.close()  # should there be a worker, it ends at once
            raise
        finally:
            its.close()
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        worker = Worker(name, process, ours)
        self.workers.append(worker)
        self.heard.register(ours, selectors.EVENT_READ, (worker, True))
        self.heard.register(process.stdout, selectors.EVENT_READ, (worker, False))
        return worker

    def _begun(self, arguments: tuple[str, ...], channel: int) -> subprocess.Popen[bytes] | Forked:
        # XLA's CPU backend takes the size of its one thread pool from NPROC.
        environment = {
            **os.environ,
            **told_to_others(only_kinds=True),
            "NPROC": str(self.threads),
        }
        try:
            return begun(arguments, environment, channel, self.right_to_write)
        except CannotStartError as error:
            died = Died(error.code, _last_line(error.said.split(b"\n")))
            raise SweepError(
                f"workers cannot start ({died.describe()}): fix this and run the same command again"
            ) from None

    def answers(self) -> Iterator[tuple[Worker, dict[str, Any] | Died]]:
        """What workers answer, as it comes, until there is no worker any more."""
        while self.workers:
            for key, _ in self.heard.select():
                worker, is_answer = key.data
                if worker not in self.workers:
                    continue
                if is_answer:
                    yield worker, self._answer(worker)
                elif not worker.listen():
                    self.heard.unregister(key.fileobj)  # at its end it would be ready for ever

    def _answer(self, worker: Worker) -> dict[str, Any] | Died:
        try:
            return worker.channel.recv()
        except (EOFError, OSError):
            died = Died(worker.process.wait(), worker.last_words())
        self.workers.remove(worker)
        for heard in (worker.channel, worker.process.stdout):
            with suppress(KeyError):
                self.heard.unregister(heard)  # pyright: ignore[reportArgumentType]
        worker.end()
        return died


def _last_line(printed: Iterable[bytes]) -> str:
    """The last line with words."""
    lines = [line[-KEPT_OF_A_LINE:].decode("utf-8", "replace").strip() for line in printed]
    return next((line for line in reversed(lines) if line), "")


def cache() -> str:
    """Where compiled steps are kept on this machine; none where UNDERGROWTH_CACHE is empty."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undergrowth"
    return os.environ.get("UNDERGROWTH_CACHE", str(default))
