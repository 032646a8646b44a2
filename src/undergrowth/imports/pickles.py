"""Pickles as plain values, and nothing else: no name is looked up, nothing is called or imported.

A pickle is a program for a small machine. This is another machine for the part of its language that
PyTorch writes a state dict in; whatever else a pickle says is refused, so there is nothing that it could
run. The five names that it may use stand for themselves: they are never imported.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from undergrowth.imports.errors import ForeignFileError
from undergrowth.plain_text import in_one_line

MOST_BYTES = 64 * 2**20
"""Of a pickle, which has no weights in it: those lie beside it."""

STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""PyTorch's kinds of storage, and how numpy calls their numbers."""

ORDERED_DICT = ("collections", "OrderedDict")
TENSOR = ("torch._utils", "_rebuild_tensor_v2")
PARAMETER = ("torch._utils", "_rebuild_parameter")
NAMES = {ORDERED_DICT, TENSOR, PARAMETER, *(("torch", kind) for kind in STORAGES)}
"""The names that a state dict needs, as (module, name)."""

LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
IGNORED = {"PROTO", "FRAME"}
KEYS = (str, int, float, bool, type(None))
MOST_AXES = 16

Storage = Callable[[str, str, int], np.ndarray]
"""From a kind of storage, its key and the number of its numbers, these numbers."""


class _Name(tuple[str, str]):
    """A name that a pickle has spoken of, not what it names."""


class _Ordered(dict[Any, Any]):
    """What stands for an OrderedDict, the only thing whose attributes may be set: they are dropped."""


def plain(pickle: bytes, storage: Storage) -> Any:
    """What a pickle holds: numbers, text, lists, tuples, dictionaries, and tensors as numpy arrays.

    Arrays are views that cannot be written to. Raises ForeignFileError, in one line, for anything else.
    """
    if len(pickle) > MOST_BYTES:
        raise ForeignFileError(
            f"its pickle has {len(pickle)} bytes, more than {MOST_BYTES}: not a model's"
        )
    machine = _Machine(storage)
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(pickle)):
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except ForeignFileError:
        raise
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        reason = in_one_line(str(error))[:80]
        raise ForeignFileError(f"its pickle is damaged ({reason}): take a whole file") from None
    raise ForeignFileError("its pickle is damaged (it does not end): take a whole file")


class _Machine:
    """The stack and the memo of a pickle that is being read."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        """What a pickle leaves."""
        if len(self.stack) != 1 or self.marks or isinstance(self.stack[0], _Name):
            raise ValueError("it leaves no value")
        return self.stack[0]

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out an instruction; raises ForeignFileError for one that no state dict needs."""
        if opcode in LITERALS:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in INSTRUCTIONS:
            INSTRUCTIONS[opcode](self, argument)
        elif opcode not in IGNORED:
            raise ForeignFileError(
                f"its pickle uses {opcode}, which no state dict needs: it was not run"
            )

    def take(self, n: int) -> list[Any]:
        """The n topmost values, which are no longer there."""
        if len(self.stack) - n < (self.marks[-1] if self.marks else 0):
            raise IndexError("too few values")
        found = self.stack[len(self.stack) - n :]
        del self.stack[len(self.stack) - n :]
        return found

    def take_marked(self) -> list[Any]:
        """The values above the last mark, which is gone with them."""
        found = self.take(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return found

    def top(self, *kinds: type) -> Any:
        """The topmost value, which must be of one of some kinds."""
        if not self.stack[-1:] or type(self.stack[-1]) not in kinds:
            raise ValueError("something else was expected")
        return self.stack[-1]


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(len(machine.stack))


def _empty(kind: type) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(kind())


def _tuple_of(n: int | None) -> Callable[[_Machine, Any], None]:
    """A tuple of the n topmost values, or of those above the mark."""
    return lambda machine, _: machine.stack.append(
        tuple(machine.take_marked() if n is None else machine.take(n))
    )


def _append(machine: _Machine, _: Any) -> None:
    found = machine.take(1)
    machine.top(list).extend(found)


def _appends(machine: _Machine, _: Any) -> None:
    found = machine.take_marked()
    machine.top(list).extend(found)


def _set_item(machine: _Machine, _: Any) -> None:
    _set(machine, machine.take(2))


def _set_items(machine: _Machine, _: Any) -> None:
    _set(machine, machine.take_marked())


def _set(machine: _Machine, pairs: list[Any]) -> None:
    into = machine.top(dict, _Ordered)
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        inner = key if type(key) is tuple else (key,)
        if not all(type(part) in KEYS for part in inner):  # hashing deep tuples may never end
            raise ForeignFileError("its pickle has a key that is neither text nor a number: not read")
        into[key] = value


def _put(machine: _Machine, place: Any) -> None:
    machine.memo[len(machine.memo) if place is None else place] = machine.stack[-1]


def _get(machine: _Machine, place: Any) -> None:
    machine.stack.append(machine.memo[place])


def _global(machine: _Machine, named: str) -> None:
    _name(machine, *named.split(" ", 1))


def _stack_global(machine: _Machine, _: Any) -> None:
    _name(machine, *machine.take(2))


def _name(machine: _Machine, module: Any, name: Any) -> None:
    if type(module) is not str or type(name) is not str or (module, name) not in NAMES:
        told = in_one_line(f"{module}.{name}")[:80]
        raise ForeignFileError(
            f"its pickle names {told}, which is more than weights: nothing of it was run; save a state "
            "dict, torch.save(model.state_dict(), FILE)"
        )
    machine.stack.append(_Name((module, name)))


def _reduce(machine: _Machine, _: Any) -> None:
    called, arguments = machine.take(2)
    if not isinstance(called, _Name) or type(arguments) is not tuple:
        raise ForeignFileError("its pickle calls what has no name: it was not run")
    if called == ORDERED_DICT and not arguments:
        machine.stack.append(_Ordered())
    elif called == TENSOR:
        machine.stack.append(_tensor(*arguments[:4]))
    elif called == PARAMETER and isinstance(arguments[0], np.ndarray):
        machine.stack.append(arguments[0])
    else:
        raise ForeignFileError(f"its pickle calls {called[1]} in a way that PyTorch does not: not read")


def _build(machine: _Machine, _: Any) -> None:
    machine.take(1)
    machine.top(_Ordered)


def _persistent(machine: _Machine, _: Any) -> None:
    """A storage: ('storage', its kind, its key, its device, the number of its numbers)."""
    (told,) = machine.take(1)
    if type(told) is not tuple or len(told) != 5 or told[0] != "storage":
        raise ForeignFileError("its pickle refers to something that is no storage: not read")
    _, kind, key, _, n = told
    if not isinstance(kind, _Name) or kind[1] not in STORAGES or type(key) is not str:
        raise ForeignFileError("its pickle refers to a storage of no known kind: not read")
    if type(n) is not int or n < 0:
        raise ForeignFileError(f"a storage has {str(n)[:20]} numbers: the file is damaged")
    machine.stack.append(machine.storage(kind[1], key, n))


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> np.ndarray:
    """A tensor: a view of a storage, within it; raises ForeignFileError for any other."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise ForeignFileError("a tensor has no storage: the file is damaged")
    parts = (offset, *shape, *strides)
    if not all(type(part) is int and 0 <= part < 2**40 for part in parts) or len(shape) != len(strides):
        raise ForeignFileError("a tensor has a shape, strides or an offset that are none: not read")
    n, last = prod(shape), offset + sum((k - 1) * by for k, by in zip(shape, strides, strict=True))
    if len(shape) > MOST_AXES or (n and (last >= len(storage) or n > len(storage))):
        raise ForeignFileError(
            f"a tensor of shape {str(tuple(shape))[:40]} reaches beyond its storage of {len(storage)} "
            "numbers: the file is damaged"
        )
    if not n:
        return np.zeros(shape, storage.dtype)
    by = tuple(stride * storage.itemsize for stride in strides)
    return as_strided(storage[offset:], shape, by, writeable=False)


INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _mark,
    "EMPTY_LIST": _empty(list),
    "EMPTY_DICT": _empty(dict),
    "EMPTY_TUPLE": _empty(tuple),
    "TUPLE": _tuple_of(None),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _put,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
