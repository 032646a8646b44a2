"""Spec files: TOML for one run, or for many that share fields, and for forks among them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import tomli_w

from undergrowth.spec.presets import preset
from undergrowth.spec.run import RunSpec
from undergrowth.spec_errors import SpecError, near, shown
from undergrowth.toml_text import parsed

IS_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class SpecFile:
    """The runs of a spec file in its order, and the name that each has there, None without one."""

    runs: tuple[RunSpec, ...]
    names_in_order: tuple[str | None, ...]

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """By run id the names that it has; runs without one are left out."""
        found: dict[str, dict[str, None]] = {}
        for spec, name in zip(self.runs, self.names_in_order, strict=True):
            if name is not None:
                found.setdefault(spec.id, {})[name] = None
        return {run_id: tuple(names) for run_id, names in found.items()}

    def to_toml(self) -> str:
        """The file with every default in it; `read_file` gives an equal one back.

        A fork names its parent by id, which is what the parent's entry above it comes to.
        """
        if len(self.runs) == 1 and self.names_in_order == (None,):
            return self.runs[0].to_toml()
        entries = zip(self.names_in_order, self.runs, strict=True)
        return "\n".join(tomli_w.dumps({"runs": [_entry(name, spec)]}) for name, spec in entries)


def _entry(name: str | None, spec: RunSpec) -> dict[str, Any]:
    fields = spec.model_dump(mode="json", exclude_none=True)
    return fields if name is None else {"name": name, **fields}


def read_runs(text: str, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """All runs of a spec file, as `read_file` has them."""
    return read_file(text, seeds).runs


def read_file(text: str, seeds: int | None = None) -> SpecFile:
    """A spec file; with `seeds` = n each of its runs n times, with all seeds 0 to n - 1.

    A file gives the fields of one run; or `[[runs]]`, each with the fields in which it differs from
    those at the top; `preset = "..."` at the top gives all others. A run may have a `name`, and a later
    one `fork.of = "that name"`: it then starts from that run's fields, and its interventions come after
    that run's. The order of independent runs means nothing.

    Raises SpecError, in one line, for anything that is not a complete and possible file.
    """
    try:
        fields = parsed(text)
    except ValueError as error:
        raise SpecError(str(error)) from None
    entries, base = fields.pop("runs", None), fields.pop("preset", None)
    if base is not None:
        fields = merged(preset(base).model_dump(mode="json", exclude_none=True), fields)
    if entries is None:
        return _seeded([{}], fields, seeds, "")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SpecError("runs: not a list of tables: write each run under its own [[runs]] line")
    if not entries:
        raise SpecError("runs = []: no run in it: write each run under its own [[runs]] line")
    return _seeded(entries, fields, seeds, "runs.")


def _seeded(
    entries: list[dict[str, Any]], shared: dict[str, Any], seeds: int | None, place: str
) -> SpecFile:
    """Each entry for each seed; an error says which entry, where `place` is not empty."""
    names = _names(entries)
    found: list[RunSpec] = []
    for seed in [None] if seeds is None else range(seeds):
        named: dict[str, RunSpec] = {}
        for position, entry in enumerate(entries):
            try:
                spec = _run(entry, shared, seed, named, names)
            except SpecError as error:
                raise SpecError(f"{place}{position}: {error}" if place else str(error)) from None
            found.append(spec)
            if names[position] is not None:
                named[names[position]] = spec
    return SpecFile(tuple(found), tuple(names) * (len(found) // len(names)))


def _names(entries: list[dict[str, Any]]) -> list[Any]:
    """The name of each entry, None where it has none."""
    names = [entry.get("name") for entry in entries]
    for position, name in enumerate(names):
        if name is not None and (not isinstance(name, str) or not name):
            raise SpecError(f"runs.{position}: name = {shown(name)}: not a name: write it in quotes")
        if name is not None and name in names[:position]:
            raise SpecError(
                f"runs.{position}: name = {shown(name)}: an earlier run has that name: choose another"
            )
    return names


def _run(
    entry: dict[str, Any],
    shared: dict[str, Any],
    seed: int | None,
    named: dict[str, RunSpec],
    names: list[Any],
) -> RunSpec:
    own = {key: value for key, value in entry.items() if key != "name"}
    fork = own.get("fork", shared.get("fork"))
    of = fork.get("of") if isinstance(fork, dict) else None
    if isinstance(of, str) and of in named:
        return _fork(named[of], {**own, "fork": fork})
    if isinstance(of, str) and not IS_ID.fullmatch(of):
        raise SpecError(_no_such_run(of, named, names))
    spec = RunSpec.from_dict(merged(shared, own))
    return spec if seed is None else spec.seeded(seed)


def _no_such_run(of: str, named: dict[str, RunSpec], names: list[Any]) -> str:
    if of in names:
        return f"fork.of = {shown(of)}: that run is not above this one: move it up"
    known = f"; runs above: {', '.join(list(named)[:9])}" if named else "; no run above it has a name"
    hint = near(of, named) or known[:200]
    return f"fork.of = {shown(of)}: neither the name of a run above nor the id of a stored run{hint}"


def _fork(parent: RunSpec, entry: dict[str, Any]) -> RunSpec:
    """A run that forks from another of the file."""
    own = entry.get("interventions", [])
    inherited = parent.model_dump(mode="json", exclude_none=True)
    return RunSpec.from_dict(
        {
            **merged(inherited, entry),
            "fork": {**entry["fork"], "of": parent.id},
            "interventions": [*inherited["interventions"], *own] if isinstance(own, list) else own,
        }
    )


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid upon `base`, table by table; a table of another kind takes the place of the whole."""
    found = dict(base)
    for key, value in over.items():
        below: Any = found.get(key)
        found[key] = merged(below, value) if _is_of_kind(value, below, key) else value
    return found


def _is_of_kind(value: Any, below: Any, key: str) -> TypeGuard[Mapping[str, Any]]:
    """Whether a table says more of what another describes, rather than naming another kind."""
    if not (isinstance(below, Mapping) and isinstance(value, Mapping)):
        return False
    field = RunSpec.model_fields.get(key)
    kind = below.get("name", getattr(field and field.default, "name", None))
    return value.get("name", kind) == kind
