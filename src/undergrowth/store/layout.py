"""Where things lie in a store, and how a directory becomes one."""

from __future__ import annotations

import json
from pathlib import Path

from undergrowth.store.errors import StoreError
from undergrowth.store.files import UNFINISHED, content, entries, folder, is_regular, write_whole

MARKER = "undergrowth.json"

MODEL, TRAINING, CONFIG = "model.safetensors", "training.safetensors", "config.json"
"""The files of a checkpoint's folder."""

IMPORTED = "imported"
"""The kind of the event that a run which was trained elsewhere ends with."""

STORE_FORMAT = 1
"""Raised when a store of the version before can no longer be read; no part of a run's id."""


def create(root: Path) -> None:
    """Make `root` a store, or leave it one.

    Raises StoreError where it is a file, or a directory with other things in it, or cannot be made.
    """
    try:
        _create(root)
    except (OSError, ValueError) as error:
        raise unwritable(root, error) from None


def _create(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is a file: a store is a directory, so give another path")
    if (root / MARKER).exists():
        check(root)
    elif root.exists() and not all(_is_half_a_marker(path) for path in root.iterdir()):
        raise StoreError(
            f"{root} is not empty and holds no undergrowth store (no {MARKER}): "
            "give a new or empty directory"
        )
    else:  # the marker comes first: killed after it, this is a store, and before it an empty directory
        write_whole(root / MARKER, json.dumps({"format": STORE_FORMAT}).encode())
    for part in (root / "runs", root / "readings"):
        folder(part).mkdir(exist_ok=True)


def _is_half_a_marker(path: Path) -> bool:
    return path.name.startswith(f".{MARKER}.") and path.name.endswith(UNFINISHED)


def unwritable(root: Path, error: Exception) -> StoreError:
    """What to say of a directory that the system does not let us write to."""
    reason = getattr(error, "strerror", None) or error
    return StoreError(f"{root} cannot be written ({reason}): give a directory that you can write to")


def check(root: Path) -> None:
    """Raise StoreError unless `root` is a store that this version reads."""
    marker = root / MARKER
    try:
        if not is_regular(marker) and not marker.exists():
            raise StoreError(
                f"{root} is not an undergrowth store (no {MARKER} in it): "
                "give the --out directory of a run, a study or the demo"
            )
        format_ = json.loads(content(marker))["format"]
    except OSError as error:
        raise StoreError(f"{root} cannot be read ({error.strerror}): give a store") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = json.dumps({"format": STORE_FORMAT})
        raise StoreError(f"{marker} is damaged: restore it as {whole}") from None
    if format_ != STORE_FORMAT:
        raise StoreError(
            f"{root} has store format {str(format_)[:20]}, this version reads {STORE_FORMAT}: "
            "use the version of undergrowth that wrote it"
        )


def run_folder(run_id: str) -> Path:
    """A run's folder, relative to the store."""
    return Path("runs") / run_id


def checkpoint_folder(run_id: str, step: int) -> Path:
    """A checkpoint's folder, relative to the store."""
    return run_folder(run_id) / "checkpoints" / f"step-{step:08d}"


def databases(root: Path) -> list[Path]:
    """One SQLite file for each process that has written; raises StoreError where we may not look."""
    return [path for path in entries(root / "readings") if path.suffix == ".sqlite" and path.stem]


def measured_database(root: Path) -> Path:
    """The SQLite file of what was measured after training, which is there once something has been."""
    return root / "measured" / "measured.sqlite"
