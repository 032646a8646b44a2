"""The command line: one file a group of commands.

Exit codes: 0 done, 1 a run or check failed, 2 usage error, 130 interrupted.

A command is a function decorated with `app.command` whose module is imported here.
"""

from undergrowth.cli import (
    comparing,
    explore,
    exporting,
    importing,
    mapping,
    measuring,
    merging,
    own_parts,
    published,
    reporting,
    serve,
    specs,
    stores,
    studies,
    sweeping,
    training,
)
from undergrowth.cli.app import app
from undergrowth.cli.entry import main

__all__ = [
    "app",
    "comparing",
    "explore",
    "exporting",
    "importing",
    "main",
    "mapping",
    "measuring",
    "merging",
    "own_parts",
    "published",
    "reporting",
    "serve",
    "specs",
    "stores",
    "studies",
    "sweeping",
    "training",
]
