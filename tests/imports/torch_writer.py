"""What `torch.save` writes, written without torch: opcodes of a pickle, and a zip archive about it."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
    "bool": "BoolStorage",
}
MARK, STOP, NONE, TUPLE, REDUCE = b"(", b".", b"N", b"t", b"R"


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tuple_of(*parts: bytes) -> bytes:
    return MARK + b"".join(parts) + TUPLE


def storage(kind: str, key: str, n: int) -> bytes:
    """A reference to a storage."""
    parts = text("storage"), named("torch", kind), text(key), text("cpu"), integer(n)
    return tuple_of(*parts) + b"Q"


def tensor(of: bytes, offset: bytes, shape: bytes, strides: bytes, *more: bytes) -> bytes:
    """A tensor that is a view of a storage."""
    hooks = named("collections", "OrderedDict") + b")" + REDUCE
    rest = more or (b"\x89", hooks)
    return (
        named("torch._utils", "_rebuild_tensor_v2")
        + tuple_of(of, offset, shape, strides, *rest)
        + REDUCE
    )


class Pickler:
    """Opcodes of values, and the storages that they refer to."""

    def __init__(self) -> None:
        self.storages: dict[str, bytes] = {}

    def of(self, value: Any) -> bytes:
        """The opcodes that leave a value."""
        if value is None or isinstance(value, bool):
            return {None: NONE, True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, int):
            return integer(value)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return text(value)
        if isinstance(value, np.ndarray):
            return self.array(value)
        if isinstance(value, tuple):
            return tuple_of(*map(self.of, value))
        if isinstance(value, list):
            return b"]" + MARK + b"".join(map(self.of, value)) + b"e"
        begin = named("collections", "OrderedDict") + b")" + REDUCE
        pairs = b"".join(self.of(key) + self.of(item) for key, item in value.items())
        return (begin if isinstance(value, OrderedDict) else b"}") + MARK + pairs + b"u"

    def array(self, array: np.ndarray) -> bytes:
        """A tensor with a storage of its own."""
        key = str(len(self.storages))
        self.storages[key] = np.ascontiguousarray(array).tobytes()
        strides = [int(np.prod(array.shape[i + 1 :])) for i in range(array.ndim)]
        return tensor(
            storage(KINDS[str(array.dtype)], key, array.size),
            integer(0),
            tuple_of(*map(integer, array.shape)),
            tuple_of(*map(integer, strides)),
        )


def saved(value: Any) -> bytes:
    """The file that `torch.save(value, FILE)` writes, with numpy arrays for tensors."""
    pickler = Pickler()
    return archive(b"\x80\x02" + pickler.of(value) + STOP, pickler.storages)


def archive(pickle: bytes, storages: Mapping[str, bytes], **others: bytes) -> bytes:
    """A zip archive of a pickle and its storages, and of other entries by their names."""
    entries = {"archive/data.pkl": pickle, **{f"archive/data/{k}": v for k, v in storages.items()}}
    return zipped({**entries, "archive/version": b"3\n", **others})


def zipped(entries: Mapping[str, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as into:
        for name, content in entries.items():
            into.writestr(zipfile.ZipInfo(name), content, packed)
    return file.getvalue()
