"""What every optimiser is: a rule of its own, after a gradient filter, times a rate over the steps."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Self

import optax
from pydantic import Field

from undergrowth.training.optimisers.filters import AnyFilter, NoFilter
from undergrowth.training.optimisers.rates import AnyAnnealing, Constant, scale_by_rate
from undergrowth.values import Value, unchecked

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class Optimiser(Value):
    """A gradient filter, then the optimiser's rule, then warm-up and annealing.

    Every optimiser has `lr` and `weight_decay`, which are traced as learning_rate and weight_decay.
    warmup_steps: updates over which the whole update rises linearly to its size. Warm-up and annealing
    multiply the whole update, so the pull of a decoupled decay too.
    """

    structural: ClassVar[tuple[str, ...]] = ("warmup_steps", "annealing")
    """The fields that decide what an update compiles to; all others are traced."""

    warmup_steps: int = Field(default=10, ge=0)
    annealing: AnyAnnealing = Constant()
    filter: AnyFilter = NoFilter()

    @abstractmethod
    def rule(self) -> optax.GradientTransformation:
        """The optimiser itself, with traced hyper-parameters, at its full rate."""

    def build(self) -> optax.GradientTransformation:
        """The optax transformation; all that may change in mid-run is in its state."""
        rate = scale_by_rate(self.warmup_steps, self.annealing)
        return optax.chain(self.filter.build(), self.rule(), rate)

    def traced(self) -> dict[str, Any]:
        """What of it is traced, by field; of its filter, by the filter's fields, as `filter`."""
        own = {name: x for name, x in self if name not in self.structural and _is_number(x)}
        return {**own, "filter": {name: x for name, x in self.filter if _is_number(x)}}

    def with_traced(self, values: dict[str, Any]) -> Self:
        """This optimiser with values of `traced`, which may be JAX's, in place of its own."""
        filtered = unchecked(self.filter, **values["filter"])
        return unchecked(self, **{**values, "filter": filtered})

    def skeleton(self) -> Self:
        """This optimiser with every traced hyper-parameter at its default: what its step compiles to."""
        kept = {name: getattr(self, name) for name in self.structural}
        return type(self)(**kept, filter=self.filter.skeleton())


def _is_number(value: object) -> bool:
    """A real number, or several."""
    return isinstance(value, float | tuple)
