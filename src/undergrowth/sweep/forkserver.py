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
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any, NoReturn

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
    """Fork what is asked for, and say how it ended, until the channel closes.

    Argument: the channel's descriptor.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    channel = Connection(int(sys.argv[1]))
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # forks share the pages of what no collection looks at
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            order = channel.recv()
            if "wait" in order:
                _, status = os.waitpid(order["wait"], 0)
                channel.send(os.waitstatus_to_exitcode(status))
            else:
                channel.send(_forked(order, channel))


def _forked(order: Mapping[str, Any], channel: Connection) -> int:
    files = [recv_handle(channel) for _ in range(order["files"])]
    pid = os.fork()
    if pid == 0:
        channel.close()
        _work(order, *files)
    for file in files:
        os.close(file)
    return pid


def _work(order: Mapping[str, Any], printed: int, channel: int, *_: int) -> NoReturn:
    """What a fork does, to its end; the other files it holds open."""
    code = 1
    try:
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        os.close(printed)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        sys.modules[WORKER].main([*order["arguments"], str(channel)])
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
