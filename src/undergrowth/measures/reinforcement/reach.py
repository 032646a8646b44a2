"""Reach: on how many examples a step on one of them pushes, through each component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.harmonics.group_tables import group_table_or_refuse
from undergrowth.measures.reading import COMPONENTS, LossMeasure, Observed, Reading
from undergrowth.measures.reinforcement.gradient_groups import MODULE, WHOLE, groupings
from undergrowth.measures.reinforcement.ledger import families
from undergrowth.measures.reinforcement.preconditioner import preconditioner, refusal
from undergrowth.measures.reinforcement.pushes import PushedScore, Pushes, pushes
from undergrowth.measures.reinforcement.subspaces import Subspace, complement, of_irreps
from undergrowth.models import Model
from undergrowth.schedules import Schedule
from undergrowth.tasks.irreps import isotypic

SUBSPACE, IRREP = "subspace", "irrep"
PARTS = ("irreps", "complement")
WHAT = {
    "": "reach",
    "_by_loss": "reach_by_loss",
    "_own_push": "own_push",
    "_squared_norm": "squared_norm",
    "_strength": "strength",
}
"""By the ending of a reading, what of `Pushes` it is."""
NEEDS = "a group (or irreps = [] and each_irrep = false)"


class Reach(LossMeasure):
    r"""How many examples each example's push serves, by component, module, subspace and in all.

    m_i is the `score` of training example i, by default its margin: the correct logit minus the largest
    other. The push of example j on it through the weights c is K_c(i, j) = <grad_c m_i, P grad_c m_j>,
    P what the optimiser multiplies each weight's gradient by in the next update (`preconditioner`;
    1 where not `preconditioned`). The reach of c is

    .. math:: R_c = \sum_{ij} K_c(i, j) / \sum_i K_c(i, i) \in [0, n]

    1 where each example pushes for itself alone (a look-up), k where k examples push alike, n where all
    n do (a shared bias), below 1 where they push one another down, 0 where nothing is pushed. With P = 1
    it is the m-coherence (`Coherence`) of margins in place of losses.

    {prefix}_{component} [layer, component], {prefix}_module [module], {prefix}_whole: R. With these
    endings, for each of them: _own_push: the mean of K_ii, for a learning rate of 1; _by_loss: R with
    L_ij = -<grad_c m_i, P grad_c l_j> for K_ij, l the run's loss, so that fitted examples push no more;
    _squared_norm: |theta_c|^2, what decay charges for c; _strength: the mean of <theta_c, grad_c m_i>,
    how fast the mean margin grows with the size of theta_c: what c carries times its degree, where m is
    homogeneous in theta_c.

    irreps: names of irreps of the task's group, of a cyclic group frequencies, "1", "2", ...:
    {prefix}_subspace [subspace] is of the functions in them on the token axis of the operands' weights
    (`irreps`), and of all else there (`complement`). each_irrep: {prefix}_irrep [irrep], of each irrep
    that is not constant.
    """

    endings: ClassVar[tuple[str, ...]] = tuple(
        f"{of}{what}" for of in (*COMPONENTS, MODULE, WHOLE, SUBSPACE, IRREP) for what in WHAT
    )

    name: Literal["reach"] = "reach"
    prefix: str = Field(default="reach", pattern=r"^[a-z][a-z0-9_]*$")
    score: PushedScore = "margin"
    preconditioned: bool = True
    irreps: tuple[str, ...] = ()
    each_irrep: bool = False
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    @property
    def scalars(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}_{WHOLE}{what}" for what in WHAT)

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the optimiser has no P, or the task no such irreps."""
        super().check(run)
        if self.preconditioned and (why := refusal(run.optimiser)):
            raise ValueError(
                f"measure {self.key!r}: {why}, so it has no P: set preconditioned = false for P = 1"
            )
        if self.irreps or self.each_irrep:
            table = group_table_or_refuse(run.task, self.name, NEEDS)
            known = isotypic(table.group).names
            if unknown := sorted(set(self.irreps) - set(known)):
                raise ValueError(
                    f"irreps = {list(self.irreps)}: {table.group} has no {unknown[0]!r}: take some of "
                    f"{', '.join(known)}"
                )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        found = pushes(
            model,
            data,
            score=self.score,
            preconditioner=preconditioner(at) if self.preconditioned else None,
            subspaces=self._subspaces(model, at),
            loss=at.spec.loss,
            temperature=at.state.knobs["temperature"],
        )
        readings = {}
        for component, sites in families(model).items():
            of_layers = {what: np.stack(of) for what, of in _values([found[s] for s in sites]).items()}
            readings |= _readings(component, ("layer", component), of_layers)
        labelled = {MODULE: (groupings(model, {})[MODULE].labels, [found[MODULE]])}
        if self.irreps:
            labelled[SUBSPACE] = (PARTS, [found[part] for part in PARTS])
        if self.each_irrep:
            names = self._each(at)
            labelled[IRREP] = (names, [found[_named(name)] for name in names])
        for axis, (labels, of_groups) in labelled.items():
            values = {what: np.concatenate(of) for what, of in _values(of_groups).items()}
            readings |= _readings(axis, (axis,), values, {axis: labels})
        readings |= _readings(
            WHOLE, (), {what: of[0].reshape(()) for what, of in _values([found[WHOLE]]).items()}
        )
        return {f"{self.prefix}_{name}": reading for name, reading in readings.items()}

    def _subspaces(self, model: Model, at: Context) -> dict[str, Subspace]:
        if not self.irreps and not self.each_irrep:
            return {}
        table = group_table_or_refuse(at.spec.task, self.name, NEEDS)
        found: dict[str, Subspace] = {}
        if self.irreps:
            inside = of_irreps(model, table, self.irreps)
            found |= dict(zip(PARTS, (inside, complement(inside)), strict=True))
        if self.each_irrep:
            found |= {_named(name): of_irreps(model, table, (name,)) for name in self._each(at)}
        return found

    def _each(self, at: Context) -> tuple[str, ...]:
        """All irreps of the task's group over the real numbers but that of the constants."""
        return isotypic(group_table_or_refuse(at.spec.task, self.name, NEEDS).group).names[1:]


def _named(irrep: str) -> str:
    return f"irrep {irrep}"


def _values(of_groups: Sequence[Pushes]) -> dict[str, list[np.ndarray]]:
    """By the ending of a reading, what it has for each of some groups."""
    return {what: [getattr(of, name) for of in of_groups] for what, name in WHAT.items()}


def _readings(
    of: str,
    dims: tuple[str, ...],
    values: Mapping[str, np.ndarray],
    coords: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, Reading]:
    return {
        f"{of}{what}": Reading(dims, np.asarray(value, np.float32), coords or {})
        for what, value in values.items()
    }
