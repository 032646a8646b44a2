"""`serve`: a page over a store that grows while runs write to it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from undergrowth.cli.app import WrongUseError, app
from undergrowth.plain_text import visible
from undergrowth.printing import console

PORT = 8642


@app.command
def serve(
    directory: Annotated[
        Path, Parameter(help="The --out directory of a run, study or demo; it may not be there yet.")
    ],
    /,
    *,
    port: Annotated[int, Parameter(help="Port to listen on, at 127.0.0.1 only; 0 for any.")] = PORT,
    open_: Annotated[
        bool, Parameter(name="--open", negative="", help="Open the page in the browser.")
    ] = False,
) -> int:
    """Watch runs in a browser while they train: progress, curves, events; Ctrl-C ends it.

    The store is only read and the runs are not slowed down. The page stays useful when they have ended,
    and links to the whole report, made when it is asked for.
    """
    if not 0 <= port < 2**16:
        raise WrongUseError(f"--port {port}: no port: give one from 1024 to 65535, or 0 for any")
    from undergrowth.live import serve as serve_page
    from undergrowth.live.server import PortInUseError
    from undergrowth.live.tail import is_there
    from undergrowth.store.layout import check

    if is_there(directory):
        check(directory)

    def ready(address: str) -> None:
        console.print(f"{visible(str(directory))} at {address} (Ctrl-C ends it)")
        if open_:
            import webbrowser

            webbrowser.open(address)

    try:
        serve_page(directory, port, ready)
    except PortInUseError as error:
        raise WrongUseError(str(error)) from None
    except KeyboardInterrupt:  # all is closed; the interpreter would take its time to unload JAX
        sys.stdout.flush()
        os._exit(130)
    return 0
