"""Runs as they are published: specs, what happened to them, and their curves, without a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

from undergrowth.rng import Seeds
from undergrowth.spec import RunSpec
from undergrowth.store import Part, Run
from undergrowth.store.stored import Happened

if TYPE_CHECKING:
    import xarray as xr


class PublishedRun(Run):
    """A run that is read from published results: it answers as a stored one does, for its curves alone.

    Other readings, the losses of single updates and checkpoints were not published: they are KeyErrors.
    """

    def __init__(
        self,
        spec: RunSpec,
        parts: tuple[Part, ...],
        curves: xr.Dataset,
        happened: tuple[Happened, ...],
        about: Mapping[str, Any],
    ) -> None:
        trunks = tuple((trunk, step) for trunk, step in about.get("trunks", ()))
        self.__dict__.update(
            spec=spec,
            parts=parts,
            given_names=(),
            status=about["status"],
            message=about.get("message", ""),
            environment={},
            began=0.0,
            ended=float(about["seconds"]),
            trunks=trunks,
            happened=happened,
            curves=curves,
            names=tuple(map(str, curves.data_vars)),
        )

    def __getitem__(self, name: str) -> xr.DataArray:
        """A curve, dim (step); raises KeyError with the curves there are."""
        if name not in self.names:
            there = ", ".join(self.names)
            raise KeyError(f"run {self.id} was published without {name!r}; it has {there}")
        return self.curves[name].dropna("step")

    def played_as(self, *parts: Part) -> PublishedRun:
        """The same run in these parts."""
        its = copy(self)
        its.__dict__["parts"] = parts
        return its

    @cached_property
    def checkpoints(self) -> tuple[int, ...]:
        """None: weights are not published."""
        return ()


def account(run: Run, parts: Sequence[Part]) -> dict[str, Any]:
    """What `runs.json` has of a run and the parts that it plays in its study; nothing of what is empty,
    and one number where all seeds are equal.
    """
    spec = run.spec
    seeds = spec.seeds.model_dump()
    told = {
        "id": run.id,
        "parts": [[part.arm, part.role, part.seed] for part in parts],
        "seeds": seeds if len(set(seeds.values())) > 1 else spec.seeds.model,
        "fork_of": spec.fork.of if spec.fork else None,
        "status": run.status,
        "message": run.message,
        "seconds": round((run.ended or run.began) - run.began, 1),
        "trunks": [list(trunk) for trunk in run.trunks],
        "events": [[step, kind, _brief(detail, spec)] for step, kind, detail in run.happened],
    }
    return {name: value for name, value in told.items() if value not in (None, "", [])}


def _brief(detail: Mapping[str, Any], spec: RunSpec) -> Mapping[str, Any]:
    """What happened without what the intervention says itself that did it."""
    said = _said(detail, spec)
    return {name: value for name, value in detail.items() if said.get(name) != value}


def _said(detail: Mapping[str, Any], spec: RunSpec) -> Mapping[str, Any]:
    """The trigger and the action of an event's intervention."""
    which = detail.get("intervention")
    if not isinstance(which, int) or not which < len(spec.interventions):
        return {}
    return spec.interventions[which].model_dump(mode="json")


def from_account(
    told: Mapping[str, Any], arm: RunSpec, curves: xr.Dataset, study: str, budget: str
) -> PublishedRun:
    """The run of an account; raises ValueError where its spec is not the one that its id is of."""
    seeds = told["seeds"]
    changed: dict[str, Any] = {
        "seeds": dict.fromkeys(Seeds.model_fields, seeds) if isinstance(seeds, int) else seeds
    }
    if arm.fork is not None:
        changed["fork"] = arm.fork.model_copy(update={"of": told["fork_of"]})
    spec = arm.replace(**changed)
    if spec.id != told["id"]:
        raise ValueError(f"run {told['id']} has a spec whose id is {spec.id}")
    parts = tuple(Part(study, budget, name, role, seed) for name, role, seed in told["parts"])
    happened = tuple(
        Happened(step, kind, {**_said(detail, spec), **detail} if "intervention" in detail else detail)
        for step, kind, detail in told.get("events", ())
    )
    return PublishedRun(spec, parts, curves, happened, told)
