"""What runs are called: names that they were given, and the parts that they play in studies.

Both are kept beside a run and are no part of what makes it the run that it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from undergrowth.store import rows


@dataclass(frozen=True, order=True)
class Part:
    """What a run was trained as.

    study: its name; budget: which of its sizes; arm: the name of the runs that differ from this one in
    their seeds only; role: what the arm is beside the others; seed: which of its runs it is.
    """

    study: str
    budget: str
    arm: str
    role: str
    seed: int


Parts = Mapping[str, Sequence[Part]]
"""By run id: a run may play several."""


def names_of(
    root: Path, which: str = "", parameters: Sequence[object] = ()
) -> dict[str, tuple[str, ...]]:
    """The names that runs were given, by run id, in the order of the alphabet; which: a condition in SQL
    on the runs' ids.
    """
    found: dict[str, set[str]] = {}
    for row in rows.query(root, f"SELECT * FROM names {which}", parameters):
        if rows.is_intact(row):
            found.setdefault(row["run_id"], set()).add(row["name"])
    return {run_id: tuple(sorted(names)) for run_id, names in found.items()}


def parts_of(
    root: Path, which: str = "", parameters: Sequence[object] = ()
) -> dict[str, tuple[Part, ...]]:
    """The parts of runs, also of those that are not trained yet, by run id; which: as in `names_of`."""
    found: dict[str, set[Part]] = {}
    for row in rows.query(root, f"SELECT * FROM parts {which}", parameters):
        if rows.is_intact(row):
            part = Part(row["study"], row["budget"], row["arm"], row["role"], row["seed"])
            found.setdefault(row["run_id"], set()).add(part)
    return {each: tuple(sorted(parts)) for each, parts in found.items()}


def part_row(run_id: str, part: Part) -> tuple[object, ...]:
    """A row of `parts`."""
    columns = (run_id, *astuple(part))
    return (*columns, rows.digest(*columns))
