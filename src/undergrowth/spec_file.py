"""Spec files: TOML for one run, or for many that share fields, and for forks among them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, TypeGuard

from undergrowth.presets import preset
from undergrowth.spec import RunSpec, SpecError


def read_runs(text: str, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """All runs of a spec file; with `seeds` = n each of them n times, with all seeds 0 to n - 1.

    A file gives the fields of one run; or `[[runs]]`, each with the fields in which it differs from
    those at the top; `preset = "..."` at the top gives all others. A run may have a `name`, and a later
    one `fork.of = "that name"`: it then starts from that run's fields, and its interventions come after
    that run's. The order of independent runs means nothing.

    Raises SpecError, in one line, for anything that is not a complete and possible file.
    """
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"not TOML: {error}") from None
    entries = fields.pop("runs", None)
    base = fields.pop("preset", None)
    shared = _merged(preset(base).model_dump(mode="json", exclude_none=True), fields) if base else fields
    if entries is None:
        return _seeded([{}], shared, seeds, False)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SpecError("runs: not a list of tables: write each run under a line [[runs]]")
    return _seeded(entries, shared, seeds, True)


def _seeded(
    entries: list[dict[str, Any]], shared: dict[str, Any], seeds: int | None, is_list: bool
) -> tuple[RunSpec, ...]:
    found: list[RunSpec] = []
    for seed in [None] if seeds is None else range(seeds):
        named: dict[str, RunSpec] = {}
        for position, entry in enumerate(entries):
            try:
                found.append(_run(dict(entry), shared, seed, named))
            except SpecError as error:
                raise SpecError(f"runs.{position}: {error}" if is_list else str(error)) from None
    return tuple(found)


def _run(
    entry: dict[str, Any], shared: dict[str, Any], seed: int | None, named: dict[str, RunSpec]
) -> RunSpec:
    name = entry.pop("name", None)
    if name in named:
        raise SpecError(f"name = {name!r}: an earlier run has that name: take another")
    parent = named.get(entry.get("fork", {}).get("of", ""))
    if parent is None:
        spec = RunSpec.from_dict(_merged(shared, entry))
        spec = spec if seed is None else spec.seeded(seed)
    else:
        spec = _fork(parent, entry)
    if name is not None:
        named[name] = spec
    return spec


def _fork(parent: RunSpec, entry: dict[str, Any]) -> RunSpec:
    """A run that forks from another of the file."""
    fork, own = entry.pop("fork"), entry.pop("interventions", [])
    return RunSpec.from_dict(
        {
            **_merged(parent.model_dump(mode="json", exclude_none=True), entry),
            "fork": {**fork, "of": parent.id},
            "interventions": [*(dict(i) for i in parent.interventions), *own],
        }
    )


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid upon `base`, table by table; a table of another kind takes the place of the whole."""
    merged = dict(base)
    for key, value in over.items():
        below: Any = merged.get(key)
        merged[key] = _merged(below, value) if _is_of_kind(value, below) else value
    return merged


def _is_of_kind(value: Any, below: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a table says more of what another describes, rather than naming another kind."""
    if not (isinstance(below, Mapping) and isinstance(value, Mapping)):
        return False
    return value.get("name", below.get("name")) == below.get("name")
