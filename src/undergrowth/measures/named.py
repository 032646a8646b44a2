"""A measure from a few words: its name, its fields in TOML, or a file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from undergrowth.kinds import added_to
from undergrowth.measures import AnyMeasure, Measure
from undergrowth.own_parts import module_of, use_entry_points
from undergrowth.spec_errors import SpecError, explain, near, shown
from undergrowth.toml_text import parsed

KINDS: dict[str, type[Measure]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyMeasure)[0])
}


def kinds() -> dict[str, type[Measure]]:
    """By name the kinds of measure: the package's, then those of files of one's own."""
    return KINDS | added_to(AnyMeasure)


def measure_named(text: str) -> Measure:
    """The measure that is meant by `saliency`, by `{ name = "saliency", component = "head" }`, or by
    `mine.py:Mine`, a measure or a kind of measure in a Python file.

    Raises SpecError, in one line, where there is none.
    """
    if ".py:" in text:
        return _from_file(*text.rsplit(":", 1))
    fields = _fields(text)
    name = fields.get("name")
    known = kinds()
    if name not in known and use_entry_points():
        known = kinds()
    if name not in known:
        hint = near(name, known) or f"; there are {', '.join(known)}"
        raise SpecError(f"no measure {shown(name)}{hint}")
    try:
        return TypeAdapter(AnyMeasure).validate_python(fields)
    except ValidationError as error:
        raise SpecError(f"measure {name!r}: {explain(error, known[str(name)])}") from None


def _fields(text: str) -> dict[str, object]:
    if "=" not in text:
        return {"name": text}
    try:
        fields = parsed(f"measure = {text}")["measure"]
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise SpecError(
            f"measure {shown(text)} is not an inline TOML table: write it as in a spec file, such as "
            '{ name = "saliency", component = "head" }'
        )
    return fields


def _from_file(file: str, name: str) -> Measure:
    path = Path(file).resolve()
    if not path.is_file():
        raise SpecError(f"measure {file}:{name}: there is no file {file}: give one, and a measure in it")
    found = getattr(module_of(path), name, None)
    measure = found() if isinstance(found, type) and issubclass(found, Measure) else found
    if not isinstance(measure, Measure):
        raise SpecError(f"measure {file}:{name}: {file} has no measure of that name: define a Measure")
    return measure
