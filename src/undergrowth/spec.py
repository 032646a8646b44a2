"""A run is a value: everything that decides a training run, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import tomli_w
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from undergrowth.measures import AnyMeasure, Curves, Norms
from undergrowth.models import AnyModel, TransformerSpec
from undergrowth.tasks import AnySplit, AnyTask, CommutationSafe, Data, Labels, Modular, make_data
from undergrowth.training.batches import AnyBatch, FullBatch, MiniBatch
from undergrowth.training.interventions import Intervention
from undergrowth.training.losses import LossName
from undergrowth.training.optimisers import AdamW, AnyOptimiser
from undergrowth.training.schedules import Schedule
from undergrowth.values import Value

FORMAT = 1
"""Part of every run id: raised when the same spec would train otherwise than before."""


class SpecError(ValueError):
    """A spec that cannot be run; the message is one line with the value, the rule and the remedy."""


class Seeds(Value):
    """The three sources of chance, apart: weights; split and shuffled labels; batches and noise."""

    model: int = Field(default=0, ge=0, lt=2**31)
    data: int = Field(default=0, ge=0, lt=2**31)
    noise: int = Field(default=0, ge=0, lt=2**31)


class RunSpec(Value):
    """One training run, complete. Equal specs are the same run, wherever and whenever they are run.

    The defaults are the demo's: x+y mod 53 is memorised near step 60 and grokked near step 700.
    """

    task: AnyTask = Modular()
    split: AnySplit = CommutationSafe()
    labels: Labels = "true"
    model: AnyModel = TransformerSpec()
    loss: LossName = "cross_entropy"
    optimiser: AnyOptimiser = AdamW()
    batch: AnyBatch = FullBatch()
    steps: int = Field(default=1400, ge=1)
    measures: tuple[AnyMeasure, ...] = (Curves(), Norms())
    checkpoints: Schedule = Schedule(every=100, until=100, per_decade=4)
    interventions: tuple[Intervention, ...] = ()
    seeds: Seeds = Seeds()
    threads: int = Field(default=1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _kinds_default(cls, fields: Any) -> Any:
        """`[task]` with no name is the default kind of task, and so for every choice of a kind."""
        if not isinstance(fields, Mapping):
            return fields
        named = dict(fields)
        for field in ("task", "split", "model", "optimiser", "batch"):
            if isinstance(named.get(field), Mapping):
                named[field] = {"name": cls.model_fields[field].default.name, **named[field]}
        return named

    @model_validator(mode="after")
    def _is_measured(self) -> RunSpec:
        names = [measure.key for measure in self.measures]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"measures hold {twice[0]!r} twice, so its readings would clash: drop one")
        if not any(isinstance(measure, Curves) for measure in self.measures):
            raise ValueError("measures have no 'curves', which events need: add { name = 'curves' }")
        for measure in self.measures:
            component = getattr(measure, "component", None)
            if component is not None and component not in self.model.components:
                raise ValueError(
                    f"measures look at component = {component!r}, which a {self.model.name} has not: "
                    f"take {' or '.join(map(repr, self.model.components))}"
                )
        return self

    @property
    def id(self) -> str:
        """16 hex digits, a hash of the whole spec."""
        canonical = json.dumps([FORMAT, self.model_dump(mode="json")], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def data(self) -> Data:
        """The examples, labels and split that this run trains and is validated on.

        Raises SpecError where a side of the split is empty or a batch exceeds the training side.
        """
        try:
            data = make_data(self.task, self.split, self.labels, self.seeds.data)
            if isinstance(self.batch, MiniBatch):
                self.batch.indices(data.n_train, self.seeds.noise, 0, 1)
        except ValueError as error:
            raise SpecError(str(error)) from None
        return data

    def seeded(self, seed: int) -> RunSpec:
        """This run with all three seeds set to `seed`."""
        return self.replace(seeds=Seeds(model=seed, data=seed, noise=seed))

    def replace(self, **fields: Any) -> RunSpec:
        """This run with some fields replaced, validated anew; raises SpecError as `from_dict` does."""
        return RunSpec.from_dict({**dict(self), **fields})

    def to_toml(self) -> str:
        """The whole spec, defaults included, as TOML; `from_toml` gives an equal spec back."""
        return tomli_w.dumps(self.model_dump(mode="json"))

    @classmethod
    def from_toml(cls, text: str) -> RunSpec:
        """Read a spec from TOML.

        Raises SpecError, in one line, for anything that is not a complete and possible spec.
        """
        try:
            return cls.from_dict(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SpecError(f"not TOML: {error}") from None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunSpec:
        """Read a spec from plain dictionaries, as in JSON.

        Raises SpecError, in one line, for anything that is not a complete and possible spec.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise SpecError(explain(error, cls)) from None

    def describe(self) -> str:
        """The run in a few words, for a legend."""
        labels = "" if self.labels == "true" else ", shuffled labels"
        return f"{self.task.describe()}, seed {self.seeds.model}{labels}"


def explain(error: ValidationError, of: type[Value]) -> str:
    """The first thing wrong in one line: where, the value, the rule, and the nearest known name."""
    first = error.errors()[0]
    others = error.error_count() - 1
    more = f" (and {others} more)" if others else ""
    if first["type"] == "extra_forbidden":
        return _unknown_key(first, of) + more
    place, _ = _followed(of, first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("value_error", "missing"):
        return (f"{place}: {message}" if place else message) + more
    return f"{place or 'the spec'} = {_shown(first['input'])}: {message[0].lower()}{message[1:]}" + more


def _unknown_key(detail: ErrorDetails, of: type[Value]) -> str:
    key = str(detail["loc"][-1])
    place, known = _followed(of, detail["loc"][:-1])
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
    where = f"{place}.{key}" if place else key
    return f"{where} = {_shown(detail['input'])}: unknown key {key!r}; {hint}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _followed(of: type[Value], path: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """A place in a spec as its writer sees it, and the keys that are known there.

    pydantic's path names the chosen kind of a value (optimiser.adamw.lr), which no spec file does.
    """
    schema = of.model_json_schema(mode="validation")
    node: Any = schema
    seen: list[str] = []
    for part in path:
        kinds = node.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            node = {"$ref": kinds[part]}
        else:
            seen.append(str(part))
            inside = node.get("items", {}) if isinstance(part, int) else node.get("properties", {})
            node = inside if isinstance(part, int) else inside.get(part, {})
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return ".".join(seen), list(node.get("properties", {}))
