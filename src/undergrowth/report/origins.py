"""Where imported runs come from, and what was assumed of them and checked, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from undergrowth.report.text_table import TextTable
from undergrowth.store import Run

RECORDED = "recorded"
"""What the names of readings begin with that the files of imported runs have."""
RECORDED_SAYS = "What the files of imported runs have recorded, which nothing here has computed."

HEAD = ("run", "its layout and files, and what these do not say")
SHOWN = 3
"""Files that a row names."""


def origin_table(runs: Sequence[Run]) -> TextTable | None:
    """Of each imported run its layout and files, and a row for all that was assumed and checked; None
    where no run was imported. Forks of imported runs have no rows.
    """
    rows = [row for run in runs for row in _rows(run)]
    return TextTable(HEAD, tuple(rows)) if rows else None


def _rows(run: Run) -> Iterator[tuple[str, str]]:
    origin = run.spec.origin
    if origin is None or run.spec.fork is not None:
        return
    files = [f"{file.name} (SHA-256 {file.sha256[:8]}..)" for file in origin.files[:SHOWN]]
    more = f" and {len(origin.files) - SHOWN} more" if len(origin.files) > SHOWN else ""
    yield ", ".join(run.called) or run.id, f"{origin.dialect}: {', '.join(files)}{more}"
    yield from (("\u00a0\u00a0assumed", told) for told in origin.assumed)
    yield from (("\u00a0\u00a0checked", told) for told in origin.checked)
