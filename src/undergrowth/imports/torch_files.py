"""Files that PyTorch saved, read with numpy: a zip archive of one pickle and the numbers beside it."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.pickles import STORAGES, plain
from undergrowth.plain_text import in_one_line

BEGINS = b"PK\x03\x04"
MOST_ENTRIES = 100_000


def read_torch(content: bytes) -> Any:
    """What `torch.save` put into a file, tensors as numpy arrays that cannot be written to.

    Raises ForeignFileError, in one line, for a file that PyTorch did not write or that holds more than
    numbers, text and containers of them.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Archive(archive, len(content)).read()
    except ForeignFileError:
        raise
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
        *(ValueError, LookupError, OverflowError, OSError, EOFError),
    ) as error:
        reason = in_one_line(str(error))[:80]
        raise ForeignFileError(f"the archive is damaged ({reason}): take a whole file") from None


class _Archive:
    """An open archive that PyTorch may have written, of so many bytes."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive = archive
        self.entries = {entry.filename: entry for entry in archive.infolist()}
        self._check(size)
        pickles = [name for name in self.entries if PurePosixPath(name).name == "data.pkl"]
        if len(pickles) != 1 or pickles[0].count("/") > 1:
            raise ForeignFileError("an archive, but not one that torch.save wrote: it has no data.pkl")
        self.top = pickles[0].removesuffix("data.pkl")
        self.storages: dict[str, tuple[str, np.ndarray]] = {}

    def read(self) -> Any:
        """What was saved."""
        order = self.entries.get(f"{self.top}byteorder")
        if order is not None and self.archive.read(order).strip() != b"little":
            raise ForeignFileError("saved on a big-endian machine: save it again on another")
        return plain(self.archive.read(self.entries[f"{self.top}data.pkl"]), self.storage)

    def storage(self, kind: str, key: str, n: int) -> np.ndarray:
        """The numbers of a storage."""
        if key not in self.storages:
            entry = self.entries.get(f"{self.top}data/{key}")
            if entry is None:
                raise ForeignFileError(f"the storage {key[:20]!r} is not in the file: take a whole one")
            self.storages[key] = kind, self._numbers(kind, entry)
        its_kind, numbers = self.storages[key]
        if its_kind != kind or len(numbers) != n:
            raise ForeignFileError(
                f"the storage {key[:20]!r} has {len(numbers)} numbers ({its_kind}), and should have {n} "
                f"({kind}): the file is damaged"
            )
        return numbers

    def _numbers(self, kind: str, entry: zipfile.ZipInfo) -> np.ndarray:
        dtype = np.dtype(STORAGES[kind])
        found = self.archive.read(entry)
        if len(found) % dtype.itemsize:
            raise ForeignFileError(f"a storage of {len(found)} bytes holds no whole {kind} numbers")
        if kind == "BoolStorage":
            return np.frombuffer(found, np.uint8) != 0
        return np.frombuffer(found, dtype)

    def _check(self, size: int) -> None:
        """Raise ForeignFileError for an archive that PyTorch does not write: it packs nothing, so that
        nothing in it can be larger than the file.
        """
        listed = self.archive.infolist()
        if len(listed) > MOST_ENTRIES or len(self.entries) != len(listed):
            raise ForeignFileError("an archive with too many entries, or two of one name: not read")
        for entry in listed:
            path = PurePosixPath(entry.filename)
            if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
                raise ForeignFileError(f"an archive with an entry {entry.filename[:40]!r}: not read")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise ForeignFileError(
                    "an archive that is compressed or encrypted, which torch.save does not do: not read"
                )
        if sum(entry.file_size for entry in listed) > size:
            raise ForeignFileError("an archive that would be larger unpacked than it is: not read")
