"""Child processes that prepare something, wait, and measure it each time that they are told to.

All children of a row live side by side, and are asked in turn: what runs in one round meets the same
machine as what it is compared to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

Answer = dict[str, Any]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def one_thread() -> dict[str, str]:
    """The environment of a worker: XLA's pool has one thread."""
    return {**on_cpu(), "NPROC": "1", "OPENBLAS_NUM_THREADS": "1"}


def all_cores() -> dict[str, str]:
    """The environment of a process that has the machine to itself."""
    n = str(cores())
    return {**on_cpu(), "NPROC": n, "OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n}


def on_cpu() -> dict[str, str]:
    """The environment in which jax takes the CPU even where there is an accelerator."""
    return {**os.environ, "JAX_PLATFORMS": "cpu"}


class Child:
    """A process that runs `serve`; used as a context, it is gone at the end."""

    def __init__(self, module: str, setup: object, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", module, json.dumps(setup)]
        self.module = module
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def tell(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def answer(self) -> Answer:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.module} ended: its error stands above")
        return json.loads(line)

    def ask(self, order: str) -> Answer:
        self.tell(order)
        return self.answer()


def at_once(children: Iterable[Child], order: str) -> list[Answer]:
    """Tell all, then wait for all."""
    told = list(children)
    for child in told:
        child.tell(order)
    return [child.answer() for child in told]


def serve(prepare: Callable[[Any], Callable[[str], Answer]]) -> None:
    """In the child: prepare, say so, then answer each order until standard input closes."""
    obey = prepare(json.loads(sys.argv[1]))
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(line.strip())), flush=True)
