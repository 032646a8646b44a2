"""The ledger of a run's next update: which example's loss it lowers through which component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from undergrowth.measures.context import Context
from undergrowth.measures.reading import COMPONENTS, SIDES, LossMeasure, Observed, Reading, scalar
from undergrowth.measures.reinforcement.entries import REST, TWICE, Sums, ledger, owners, summed
from undergrowth.models import Model, parameter_names
from undergrowth.schedules import Schedule
from undergrowth.training.interventions import Action

Parts = tuple[str, ...]


class Ledger(LossMeasure):
    r"""How much the next update lowers each example's loss through each component, to first order.

    .. math:: r_{ic} = - \nabla_c \ell_i \cdot \Delta_c

    with l_i the run's own loss of example i at its temperature (unweighted, without noise or dropout)
    and Delta_c the change that the actual update makes to the weights that component c reads and writes
    with (`Model.slices`). Positive: the update reinforces what c does for example i. `part`: the
    `total`, and of it `data`, `decay` and, where an intervention holds a norm, `clamp` (see `Update`).

    {prefix}_{component}_total [layer, side, part, component]: the sum over the side's examples, in units
    of the loss. {prefix}_{component}_effective_examples: (sum r+)^2 / sum r+^2 with r+ = max(r, 0), the
    number of examples that share the reinforcement: 1 for a look-up of one example, n where all share
    equally, 0 where none gains. {prefix}_{component}_positive: the share of the examples with r > 0.

    The budget, means over the side's examples. {prefix}_budget [where, side, part]: how much the loss
    falls through the components of each site, through the `rest` (weights that belong to none), and,
    negative, what is `counted_twice` (a matrix between two layers of neurons belongs to both); sums to
    {prefix}_{side}_{part}. {prefix}_parameter [parameter, side, part]: the same sum by parameter.
    {prefix}_{side}_change: the loss after the update minus the loss before;
    {prefix}_{side}_residual: change + total, which is of second order in the update.

    per_example: also {prefix}_{component}_entries [layer, part, example, component], the ledger itself:
    of all examples, in the order of the data.
    """

    endings: ClassVar[tuple[str, ...]] = (
        *(
            f"{c}_{of}"
            for c in COMPONENTS
            for of in ("effective_examples", "entries", "positive", "total")
        ),
        *("budget", "parameter"),
        *(
            f"{side}_{part}"
            for side in SIDES
            for part in ("total", "data", "decay", "clamp", "change", "residual")
        ),
    )

    name: Literal["ledger"] = "ledger"
    prefix: str = Field(default="ledger", pattern=r"^[a-z][a-z0-9_]*$")
    per_example: bool = False
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    @property
    def scalars(self) -> tuple[str, ...]:
        of_side = ("total", "data", "decay", "change", "residual")
        return tuple(f"{self.prefix}_{side}_{name}" for side in SIDES for name in of_side)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        changes, loss, temperature = parts_of(at), at.spec.loss, at.state.knobs["temperature"]
        sums = [
            summed(model, data, np.flatnonzero(side), changes, loss, temperature)
            for side in data.sides()
        ]
        parts = ("total", *changes)
        readings = {**_of_components(model, sums, parts), **_budget(model, sums, parts)}
        if self.per_example:
            entries = ledger(model, data, changes, loss=loss, temperature=float(temperature))
            readings |= _itself(model, entries, tuple(changes))
        return {f"{self.prefix}_{name}": reading for name, reading in readings.items()}


def parts_of(at: Context) -> dict[str, Model]:
    """The parts of the update that a run makes next; a clamp only where an action is to hold weights."""
    update = at.update()
    parts = {"data": update.data, "decay": update.decay}
    actions = [type(intervention.action) for intervention in at.spec.interventions]
    holds = any(kind.on_weights is not Action.on_weights for kind in actions)
    return {**parts, "clamp": update.clamp} if holds else parts


def families(model: Model) -> dict[str, list[str]]:
    """By component, the names of its sites from the first layer to the last."""
    found: dict[str, list[str]] = {}
    for site in model.sites:
        found.setdefault(site.component, []).append(site.name)
    return found


def _of_components(model: Model, sums: Sequence[Sums], parts: Parts) -> dict[str, Reading]:
    readings = {}
    for component, sites in families(model).items():
        values = {
            "total": [[side.total[site] for side in sums] for site in sites],
            "effective_examples": [[side.effective_examples(site) for side in sums] for site in sites],
            "positive": [[side.n_positive[site] / side.n for side in sums] for site in sites],
        }
        dims, coords = ("layer", "side", "part", component), {"side": SIDES, "part": parts}
        for name, value in values.items():
            readings[f"{component}_{name}"] = Reading(dims, np.array(value, np.float32), coords)
    return readings


def _budget(model: Model, sums: Sequence[Sums], parts: Parts) -> dict[str, Reading]:
    sites = [site.name for site in model.sites]
    by_parameter = np.stack([side.by_parameter / side.n for side in sums])  # [side, part, parameter]
    rest, twice = (by_parameter[..., owners(model) == n].sum(axis=2) for n in (0, 2))
    by_site = [np.stack([s.total[site].sum(axis=1) / s.n for s in sums]) for site in sites]
    coords = {"side": SIDES, "part": parts}

    def reading(axis: str, names: Sequence[str], values: np.ndarray) -> Reading:
        labelled = {axis: tuple(names), **coords}
        return Reading((axis, "side", "part"), values.astype(np.float32), labelled)

    readings = {
        "budget": reading("where", [*sites, REST, TWICE], np.stack([*by_site, rest, -twice])),
        "parameter": reading(
            "parameter", parameter_names(model.network), np.moveaxis(by_parameter, 2, 0)
        ),
    }
    for side, of_side, falls in zip(SIDES, sums, by_parameter.sum(axis=2), strict=True):
        change = of_side.change / of_side.n
        values = {**dict(zip(parts, falls, strict=True)), "change": change}
        values["residual"] = change + values["total"]
        readings |= {f"{side}_{name}": scalar(float(value)) for name, value in values.items()}
    return readings


def _itself(model: Model, entries: Mapping[str, np.ndarray], parts: Parts) -> dict[str, Reading]:
    readings = {}
    for component, sites in families(model).items():
        values = np.stack([np.moveaxis(entries[site], 1, 0) for site in sites])
        dims = ("layer", "part", "example", component)
        readings[f"{component}_entries"] = Reading(dims, values, {"part": parts})
    return readings
