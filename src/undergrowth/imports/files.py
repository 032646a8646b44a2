"""Files as they are found: their bytes, and what these hold, before anybody says what it means."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.torch_files import BEGINS, read_torch
from undergrowth.plain_text import in_one_line
from undergrowth.spec.origin import OriginFile

MOST_BYTES = 2 * 2**30
READ = (".pt", ".pth", ".safetensors", ".json", ".jsonl", ".csv")
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
SHOWN, DEPTH = 8, 2
"""Names that a refusal lists of what was found, and how deep it looks."""


@dataclass(frozen=True, eq=False)
class File:
    """A file: where it is, and its bytes."""

    path: Path
    content: bytes

    @property
    def name(self) -> str:
        """Its name without a folder."""
        return self.path.name

    @property
    def stem(self) -> str:
        """Its name without the ending."""
        return self.path.stem

    @cached_property
    def origin(self) -> OriginFile:
        """What is kept of it: its name and its digest."""
        return OriginFile(name=self.name, sha256=hashlib.sha256(self.content).hexdigest())

    @cached_property
    def held(self) -> Any:
        """What it holds: containers, numbers, text and numpy arrays; of a CSV or JSONL file a list of
        dictionaries, one a row.

        Raises ForeignFileError, in one line, where it cannot be read.
        """
        try:
            return _held(self.path.suffix.lower(), self.content)
        except ForeignFileError as error:
            raise ForeignFileError(f"{self.name}: {error}") from None


def read(path: Path) -> File:
    """A file; raises ForeignFileError, in one line, where it is none, or too large."""
    try:
        if not path.is_file():
            raise ForeignFileError(
                f"{path}: no such file or folder: give a checkpoint, or a folder of some"
            )
        if path.stat().st_size > MOST_BYTES:
            raise ForeignFileError(
                f"{path} has more than {MOST_BYTES} bytes: too large for this laboratory"
            )
        return File(path, path.read_bytes())
    except (OSError, ValueError) as error:
        if isinstance(error, ForeignFileError):
            raise
        raise ForeignFileError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None


def _held(ending: str, content: bytes) -> Any:
    if content.startswith(BEGINS):
        return read_torch(content)
    if content.startswith(OLD_TORCH):
        raise ForeignFileError("saved by a PyTorch before 1.6: load it there and save it again")
    if ending == ".safetensors":
        return _safetensors(content)
    if ending in (".json", ".jsonl"):
        return _json(content, lines=ending == ".jsonl")
    if ending == ".csv":
        return _csv(content)
    raise ForeignFileError(f"neither a PyTorch file nor {', '.join(READ[2:-1])} or {READ[-1]}: not read")


def _safetensors(content: bytes) -> dict[str, np.ndarray]:
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = in_one_line(str(error))[:80]
        raise ForeignFileError(f"no arrays in it that numpy can hold ({reason})") from None


def _json(content: bytes, *, lines: bool) -> Any:
    try:
        text = content.decode("utf-8-sig")
        return (
            [json.loads(line) for line in text.splitlines() if line.strip()]
            if lines
            else json.loads(text)
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else in_one_line(str(error))[:80]
        raise ForeignFileError(f"not JSON ({reason})") from None


def _csv(content: bytes) -> list[dict[str, str]]:
    """Rows by the header's names; of two columns of one name the last counts."""
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (ValueError, csv.Error) as error:
        raise ForeignFileError(f"not CSV ({in_one_line(str(error))[:80]})") from None
    if len(rows) < 2:
        raise ForeignFileError("a CSV file without rows: give one with a header and a row a step")
    return [dict(zip(rows[0], row, strict=False)) for row in rows[1:] if row]


def told(held: Any) -> str:
    """What something that was read is made of, in few words: names and shapes.

    >>> told({"model": {"W": np.zeros((2, 3))}, "epoch": 7})
    'model.W (2, 3), epoch (a number)'
    """
    found = list(_leaves("", held, DEPTH))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more if found else "nothing"


def _leaves(name: str, held: Any, depth: int) -> Any:
    if isinstance(held, dict) and depth:
        for key, item in list(held.items())[: 4 * SHOWN]:
            yield from _leaves(f"{name}.{_shown(key)}" if name else _shown(key), item, depth - 1)
    elif isinstance(held, np.ndarray):
        yield f"{name} {held.shape}"
    else:
        kind = (
            "a number"
            if isinstance(held, int | float)
            else f"{type(held).__name__} of {len(held)}"
            if hasattr(held, "__len__")
            else "nothing"
        )
        yield f"{name} ({kind})" if name else f"a {kind}"


def _shown(key: Any) -> str:
    return in_one_line(str(key))[:40]
