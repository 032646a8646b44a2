"""Mapping files: TOML that says what a layout of files means which is not known here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from undergrowth.imports.arrays import Taken, taken
from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File, read
from undergrowth.imports.foreign import Beside, Dialect, Fields, Foreign, State, number, state_dict_of
from undergrowth.imports.optimisers import torch_adam
from undergrowth.spec_errors import SpecError
from undergrowth.toml_text import parsed
from undergrowth.values import Value


class Mapping(Value):
    """What a layout of files means.

    name: what to call it. spec: fields of a `RunSpec`, as in a spec file: the task, the model, the
    split, the optimiser. weights: by our name of an array, the file's (`arrays.Taken`). sizes: lengths
    of axes that lie in one with others, by name. step: the updates made, or the name of that number in
    the file. optimiser: the name of a PyTorch AdamW's state in the file, empty where there is none;
    buffers: arrays in the state dict that it does not count, since they are no parameters.
    """

    name: str
    spec: dict[str, Any] = Field(default_factory=dict)
    weights: dict[str, Taken]
    sizes: dict[str, int] = Field(default_factory=dict)
    step: int | str = 1
    optimiser: str = ""
    buffers: tuple[str, ...] = ()


def mapped_dialect(path: Path) -> Dialect:
    """The layout that a mapping file tells of; raises ForeignFileError, in one line, for a bad one."""
    text = read(path).content
    try:
        mapping = Mapping.model_validate(parsed(text.decode("utf-8-sig")))
    except (SpecError, ValueError) as error:
        raise ForeignFileError(f"{path.name}: {error}") from None
    names = [entry.name for entry in mapping.weights.values()]

    def groups(files: Sequence[File]) -> list[list[File]]:
        dicts = ((file, state_dict_of(file)) for file in files)
        return [[file] for file, arrays in dicts if arrays and any(name in arrays for name in names)]

    def foreign(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
        return _read(group[0], mapping)

    return Dialect(mapping.name, f"as {path.name} says", groups, foreign)


def _read(file: File, mapping: Mapping) -> Foreign:
    theirs = state_dict_of(file)
    weights = taken(theirs, mapping.weights, mapping.sizes)
    step = mapping.step if isinstance(mapping.step, int) else _number_at(file.held, mapping.step)
    spec, state = dict(mapping.spec), State(weights)
    if mapping.optimiser:
        parameters = {name: array for name, array in theirs.items() if name not in mapping.buffers}
        adam = torch_adam(_at(file.held, mapping.optimiser), parameters)
        means, squares = (
            taken(kind, mapping.weights, mapping.sizes) for kind in (adam.means, adam.squares)
        )
        state = State(weights, means, squares, adam.count)
        spec["optimiser"] = {**adam.fields, **spec.get("optimiser", {})}
    return Foreign(file.stem, mapping.name, [file], spec, {step: state})


def _at(held: Any, name: str) -> Any:
    """What lies in a file under a name with dots."""
    for part in name.split("."):
        if not isinstance(held, dict) or part not in held:
            raise ForeignFileError(f"there is no {name!r} in it, which the mapping names")
        held = held[part]
    return held


def _number_at(held: Any, name: str) -> int:
    found = number(_at(held, name))
    if found is None or found != int(found) or found < 0:
        raise ForeignFileError(f"{name!r} is no step: the mapping must name a whole number")
    return int(found)
