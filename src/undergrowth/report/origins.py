"""Where imported runs come from: a row a run, with what was assumed of it and what was checked."""

from __future__ import annotations

from collections.abc import Sequence

from undergrowth.report.text_table import TextTable
from undergrowth.store import Run

RECORDED = "recorded"
"""What the names of readings begin with that the files of imported runs have."""
RECORDED_SAYS = "What the files of imported runs have recorded, which nothing here has computed."

HEAD = ("run", "files, and how their SHA-256 begins", "layout", "assumed", "checked")
SHOWN = 3
"""Files that a row names."""


def origin_table(runs: Sequence[Run]) -> TextTable | None:
    """A row for each run that was imported; None where none was. Forks of imported runs have none."""
    rows = [
        (
            ", ".join(run.called) or run.id,
            _files(run),
            origin.dialect,
            "; ".join(origin.assumed) or "–",
            "; ".join(origin.checked) or "–",
        )
        for run in runs
        if (origin := run.spec.origin) is not None and run.spec.fork is None
    ]
    return TextTable(HEAD, tuple(rows)) if rows else None


def _files(run: Run) -> str:
    assert run.spec.origin is not None
    files = run.spec.origin.files
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return ", ".join(f"{file.name} ({file.sha256[:8]})" for file in files[:SHOWN]) + more
