"""A run is a value: everything that decides a training run, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import jax
import tomli_w
from pydantic import Field, model_validator

from undergrowth.losses import LossName
from undergrowth.measures import AnyMeasure, Curves, Norms
from undergrowth.models import AnyModel, Model, TransformerSpec
from undergrowth.precision import Precision
from undergrowth.rng import Seeds
from undergrowth.schedules import Schedule
from undergrowth.spec.checks import check, check_regimes
from undergrowth.spec.fork import Fork
from undergrowth.spec.origin import Origin
from undergrowth.spec_errors import SpecError
from undergrowth.tasks import (
    AnySplit,
    AnyTask,
    AnyWeights,
    CommutationSafe,
    Data,
    Equal,
    InputSpace,
    Labels,
    Modular,
    make_data,
)
from undergrowth.toml_text import parsed
from undergrowth.training.batches import AnyBatch, FullBatch
from undergrowth.training.interventions import AnyForkPoint, Intervention
from undergrowth.training.noise import Noise
from undergrowth.training.optimisers import AdamW, AnyOptimiser, Positive
from undergrowth.training.state import Regime
from undergrowth.training.stopping import Stop
from undergrowth.values import Value, essence, unchecked

T = TypeVar("T")

FORMAT = 3
"""Part of every run id: raised when the same spec would train differently than before."""

DESCRIBED = 3
"""Interventions that a run's description lists; of the rest it says how many."""


class RunSpec(Value):
    """One training run, complete. Equal specs are the same run, wherever and whenever it is run.

    The defaults are the demo's: x+y mod 53 is memorised near step 60 and grokked near step 700.
    Raises SpecError, in one line, for anything that is not a possible spec.
    """

    task: AnyTask = Modular()
    split: AnySplit = CommutationSafe()
    labels: Labels = "true"
    label_noise: float = Field(default=0.0, ge=0, lt=1)
    weights: AnyWeights = Equal()
    model: AnyModel = TransformerSpec()
    loss: LossName = "cross_entropy"
    temperature: Positive = 1.0
    optimiser: AnyOptimiser = AdamW()
    noise: Noise = Noise()
    batch: AnyBatch = FullBatch()
    precision: Precision = "float32"
    steps: int = Field(default=1400, ge=1)
    measures: tuple[AnyMeasure, ...] = (Curves(), Norms())
    checkpoints: Schedule = Schedule(every=100, until=100, per_decade=4)
    fork: Fork | None = None
    interventions: tuple[Intervention, ...] = ()
    stop: tuple[Stop, ...] = ()
    seeds: Seeds = Seeds()
    threads: int = Field(default=1, ge=1, le=256)
    origin: Origin | None = None

    @model_validator(mode="before")
    @classmethod
    def _kinds_default(cls, fields: Any) -> Any:
        """`[task]` with no name is the default kind of task, and so for every choice of a kind."""
        if not isinstance(fields, Mapping):
            return fields
        named = dict(fields)
        for field in ("task", "split", "weights", "model", "optimiser", "batch"):
            if isinstance(named.get(field), Mapping):
                named[field] = {"name": cls.model_fields[field].default.name, **named[field]}
        return named

    @model_validator(mode="after")
    def _is_possible(self) -> RunSpec:
        check(self)
        return self

    @property
    def id(self) -> str:
        """16 hex digits, a hash of all that makes the run what it is."""
        return _kept(self, "_id", _id)  # pyright: ignore[reportArgumentType] (frozen, so it hashes)

    @property
    def scalars(self) -> frozenset[str]:
        """Names of the scalar readings of its measures: what a trigger can wait for."""
        return frozenset(name for measure in self.measures for name in measure.scalars)

    def blank_model(self) -> Model:
        """The model's shape: its tree with shapes and dtypes instead of arrays."""
        model: Any = self.model  # frozen, so it hashes
        return _blank(model, self.task.input_space, self.task.n_labels)

    def data(self) -> Data:
        """The examples, labels and split that this run trains and is validated on.

        Raises SpecError where a side of the split is empty or a batch exceeds the training side, even
        if only after an intervention.
        """
        try:
            data = make_data(
                self.task, self.split, self.labels, self.seeds.data, self.label_noise, self.weights
            )
        except ValueError as error:
            raise SpecError(str(error)) from None
        try:
            self.batch.check(data.n_train)
        except ValueError as error:
            raise SpecError(f"batch.{error}") from None
        check_regimes(self, Regime(data, self.batch))
        return data

    def forked(self, at: AnyForkPoint, *actions: Intervention, **fields: Any) -> RunSpec:
        """An arm that branches off this run at a step or event, with its own interventions.

        fields: others in which an arm may differ: steps, measures, checkpoints, stop, seeds.noise.
        Without interventions it continues bit-identically to its parent.

        >>> from undergrowth.training.interventions import AtStep
        >>> trunk = RunSpec(steps=1000)
        >>> arm = trunk.forked(AtStep(step=300))
        >>> arm.fork.of == trunk.id
        True
        """
        fork = Fork(of=self.id, at=at)
        return self.replace(fork=fork, interventions=(*self.interventions, *actions), **fields)

    def seeded(self, seed: int) -> RunSpec:
        """This run with all three seeds set to `seed`; no rule for specs depends on seeds."""
        return unchecked(self, seeds=Seeds.of(seed))

    def replace(self, **fields: Any) -> RunSpec:
        """This run with some fields replaced, validated anew; raises SpecError as `from_dict` does."""
        told = dict(self)
        if all(k in told and type(told[k]) is type(x) and told[k] == x for k, x in fields.items()):
            return self
        return RunSpec.from_dict({**told, **fields})

    def to_toml(self) -> str:
        """The whole spec, defaults included, as TOML; `from_toml` gives an equal spec back."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_toml(cls, text: str) -> RunSpec:
        """Read a spec from TOML.

        Raises SpecError, in one line, for anything that is not a complete and possible spec.
        """
        try:
            fields = parsed(text)
        except ValueError as error:
            raise SpecError(str(error)) from None
        return cls.from_dict(fields)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunSpec:
        """Read a spec from plain dictionaries, as in JSON.

        Raises SpecError, in one line, for anything that is not a complete and possible spec.
        """
        try:
            return cls.model_validate(fields)
        except RecursionError:
            raise SpecError("the spec's tables are nested too deep to be read: remove some") from None

    def describe(self) -> str:
        """The run in a few words, for a legend."""
        seed = f"seed {self.seeds.model}"
        if self.seeds.noise != self.seeds.model:
            seed += f", noise seed {self.seeds.noise}"
        labels = [] if self.labels == "true" else [f"{self.labels} labels"]
        return ", ".join([self.task.describe(), seed, *labels, *_arm(self)])

    def describe_arm(self) -> str:
        """What all seeds of the run share, in a few words: the task, and what is done to it."""
        return ", ".join([self.task.describe(), *_arm(self)])

    def without_seeds(self) -> RunSpec:
        """This run with all seeds 0, and no particular parent: equal for runs that differ in chance."""
        return _kept(self, "_without_seeds", _without_seeds)


def _arm(run: RunSpec) -> list[str]:
    origin = [f"imported from {run.origin.file_names}"] if run.origin else []
    fork = [f"fork {run.fork.at.describe()}"] if run.fork else []
    then = [f"then {intervention.describe()}" for intervention in run.interventions[:DESCRIBED]]
    more = len(run.interventions) - len(then)
    return [*origin, *fork, *then, *([f"then {more} more"] if more else [])]


def _kept(spec: RunSpec, name: str, of: Callable[[RunSpec], T]) -> T:
    """What follows from a spec, computed once, for a report asks some thousand times.

    It lies beside the fields, where pydantic does not compare, dump or hash it; `unchecked` drops it.
    """
    told = vars(spec)
    if name not in told:
        told[name] = of(spec)
    return told[name]


def _without_seeds(spec: RunSpec) -> RunSpec:
    fork = spec.fork and Fork(of="0" * 16, at=spec.fork.at)
    return unchecked(spec, fork=fork, seeds=Seeds())


@lru_cache(maxsize=256)
def _blank(model: AnyModel, inputs: InputSpace, n_labels: int) -> Model:
    return jax.eval_shape(lambda: model.init(inputs, n_labels, None))


@lru_cache(maxsize=4096)
def _id(spec: RunSpec) -> str:
    canonical = json.dumps([FORMAT, essence(spec)], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
