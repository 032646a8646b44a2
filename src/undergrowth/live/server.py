"""Serving the live view to browsers on this machine until Ctrl-C."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from undergrowth.live.app import Live

HOST = "127.0.0.1"
"""The only address: what is shown is for whoever is at this machine, or has a tunnel to it."""

GRACE = 1
"""Seconds that requests may still take once it is to end."""


class PortInUseError(Exception):
    """Another process listens on the port, or it may not be used; one line."""


class _Server(uvicorn.Server):
    """Ends the open streams as soon as it is told to stop, for they would never end by themselves."""

    def __init__(self, live: Live) -> None:
        # a client gets a page or stream for each connection; more are none of a person's
        config = uvicorn.Config(
            live.app,
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            lifespan="on",
            limit_concurrency=200,
            timeout_graceful_shutdown=GRACE,
            h11_max_incomplete_event_size=16_384,
            http="h11",
            ws="none",
            loop="asyncio",
        )
        super().__init__(config)
        self.live, self.was_interrupted = live, False
        live.end = self._end

    def _end(self) -> None:
        self.live.stop()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come: it is handled between two instructions of the loop's own thread."""
        self.was_interrupted |= sig == signal.SIGINT
        self.live.stop()
        super().handle_exit(sig, frame)


def listening(port: int) -> socket.socket:
    """A socket of this machine alone that listens on a port, or on a free one for 0.

    Raises PortInUseError where it cannot.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"--port {port}: {error.strerror or error}: end what uses it, or give another port (0: any "
            "that is free)"
        ) from None
    return listener


def serve(root: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve the live view of the store at `root`, which need not be there yet, until a signal comes.

    ready: called with the page's address when it can be opened. Raises PortInUseError, StoreError, and
    KeyboardInterrupt at Ctrl-C.
    """
    listener = listening(port)
    with listener:
        live = Live(root)
        server = _Server(live)
        ready(f"http://{HOST}:{listener.getsockname()[1]}/")
        server.run(sockets=[listener])
        if live.wrong is not None:
            raise live.wrong
        if server.was_interrupted:  # uvicorn raises it again, but not where the shell had it ignored
            raise KeyboardInterrupt
