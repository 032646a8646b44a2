"""Names that were given to runs: beside the runs, and no part of their ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from undergrowth.store.layout import run_folder, write_whole


def given_names(root: Path, run_id: str) -> tuple[str, ...]:
    """The names that a run was given, in the order in which they were."""
    path = root / run_folder(run_id) / "names.json"
    return tuple(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else ()


def give_names(root: Path, run_id: str, names: Sequence[str]) -> None:
    """Give a run further names."""
    known = given_names(root, run_id)
    if new := [name for name in dict.fromkeys(names) if name not in known]:
        write_whole(root / run_folder(run_id) / "names.json", json.dumps([*known, *new]).encode())
