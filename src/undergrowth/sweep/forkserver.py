"""The process of which workers are forked, each within 30 ms: it has imported all that they need, for
which an interpreter of their own takes 2 s.

Nothing is computed in it, so JAX has no threads there that a fork would lose.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import NamedTuple

import numpy as np

WORKER = "undergrowth.sweep.worker"
"""The module whose `main` a fork runs."""

PRELOADED = (
    WORKER,
    "jax",
    "jax.experimental.multihost_utils",  # this one and the next two: at a first compilation
    "jaxlib.mlir.dialects.builtin",
    "jaxlib.mlir.dialects.mhlo",
    "undergrowth.engine",
    "undergrowth.measures.named",
    "undergrowth.store.writer",
    "undergrowth.sweep.measuring",
)


def main() -> None:
    """Fork what is asked for, and say how it ended, until the channel closes; in a fork, do its work.

    Argument: the channel's descriptor.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where they are ignored nobody can be waited for
    channel = Connection(int(sys.argv[1]))
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # forks share the pages of what no collection looks at
    order: Order | None = None
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        order = _serve(channel)
    if order is not None:
        _work(order)


class Order(NamedTuple):
    """What a fork is for: its arguments and environment, what it prints to, and its channel."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    printed: int
    channel: int


def _serve(channel: Connection) -> Order | None:
    """Ends with the channel, and in each fork with what that is for."""
    while True:
        order = channel.recv()
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            channel.send(os.waitstatus_to_exitcode(status))
            continue
        files = [recv_handle(channel) for _ in range(order["files"])]
        pid = os.fork()
        if pid == 0:
            channel.close()
            printed, own, *_ = files  # the others are only held open
            return Order(order["arguments"], order["environment"], printed, own)
        for file in files:
            os.close(file)
        channel.send(pid)


def _work(order: Order) -> None:
    os.dup2(order.printed, 1)
    os.dup2(order.printed, 2)
    os.close(order.printed)
    os.environ.clear()
    os.environ.update(order.environment)
    np.random.seed()  # of its own, not that of every fork
    sys.modules[WORKER].main([*order.arguments, str(order.channel)])


if __name__ == "__main__":
    main()
