"""What makes a run impossible: each check raises a one-line ValueError that says what to do."""

from __future__ import annotations

from typing import Protocol

from undergrowth.measures import AnyMeasure, Curves
from undergrowth.measures.context import MeasuredRun
from undergrowth.measures.reading import check_names
from undergrowth.models import MLPSpec, PlantedSpec, ToyHeadsSpec
from undergrowth.schedules import Schedule
from undergrowth.spec.fork import Fork
from undergrowth.spec_errors import SpecError
from undergrowth.training.interventions import AtStep
from undergrowth.training.noise import Noise
from undergrowth.training.objectives import OBJECTIVES
from undergrowth.training.state import Regime
from undergrowth.training.stopping import Stop


class Told(MeasuredRun, Protocol):
    """All of a run that decides whether it is possible; a `RunSpec` is one."""

    @property
    def noise(self) -> Noise: ...
    @property
    def measures(self) -> tuple[AnyMeasure, ...]: ...
    @property
    def checkpoints(self) -> Schedule: ...
    @property
    def fork(self) -> Fork | None: ...
    @property
    def stop(self) -> tuple[Stop, ...]: ...


def check(run: Told) -> None:
    """Raise ValueError, in one line, for a run that cannot be, whatever its data."""
    for fits in (
        _is_measured,
        _model_takes_the_task,
        _model_fits_the_task,
        _schedules_are_short,
        _measures_fit,
        _batches_go_by_the_weights,
        _residual_dropout_has_a_place,
        _loss_is_possible,
        _interventions_are_possible,
    ):
        fits(run)


def _is_measured(run: Told) -> None:
    """Measures have names of their own, and curves are among them."""
    names = [measure.key for measure in run.measures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"measures contain {twice[0]!r} twice, so its readings would clash: drop one")
    check_names(run.measures)
    if not any(isinstance(measure, Curves) for measure in run.measures):
        raise ValueError("measures lack 'curves', which events need: add { name = 'curves' }")


def _model_takes_the_task(run: Told) -> None:
    if not run.model.takes(run.task.input_space):
        what, instead = f"model.name = {run.model.name!r}", "{ name = 'mlp' } or another task"
        if isinstance(run.model, MLPSpec):
            what, instead = f"model.combine = {run.model.combine!r}", "'concatenated' or another task"
        raise ValueError(
            f"{what} cannot read {run.task.describe()}, whose inputs are "
            f"{run.task.input_space.describe()}: use {instead}"
        )


def _model_fits_the_task(run: Told) -> None:
    """A model whose circuits are planted answers one task."""
    if isinstance(run.model, PlantedSpec | ToyHeadsSpec):
        run.model.check_task(run.task)


def _schedules_are_short(run: Told) -> None:
    schedules = {f"measures.{i}.schedule": m.schedule for i, m in enumerate(run.measures)}
    for place, schedule in {**schedules, "checkpoints": run.checkpoints}.items():
        try:
            schedule.check(run.steps)
        except ValueError as error:
            raise ValueError(f"{place}.{error}") from None


def _measures_fit(run: Told) -> None:
    for measure in run.measures:
        measure.check(run)


def _batches_go_by_the_weights(run: Told) -> None:
    if getattr(run.weights, "by", None) == "sampling" and not run.batch.by_weight:
        raise ValueError(
            f"weights.by = 'sampling' has no effect on batch.name = {run.batch.name!r}, which "
            "draws all examples equally: use batch = { name = 'with_replacement' }, or by = 'loss'"
        )


def _residual_dropout_has_a_place(run: Told) -> None:
    if run.noise.residual_dropout and not getattr(run.model, "has_mlp_out", False):
        raise ValueError(
            f"noise.residual_dropout = {run.noise.residual_dropout} needs a transformer with "
            f"two layers or a layer norm, and this {run.model.name} has no separate MLP output: "
            "use noise.dropout, or such a model"
        )


def _loss_is_possible(run: Told) -> None:
    OBJECTIVES[run.loss].check(run)


def _interventions_are_possible(run: Told) -> None:
    if run.fork is not None:
        run.fork.check(run.steps)
    for i, intervention in enumerate(run.interventions):
        intervention.trigger.check(run, f"interventions.{i}.trigger")
        intervention.action.check(run, f"interventions.{i}.action")
    for i, stop in enumerate(run.stop):
        stop.check(run, f"stop.{i}")


def check_regimes(run: Told, regime: Regime) -> None:
    """Raise SpecError where an intervention leaves batches that exceed the data, on top of those
    before it; one at no known step is taken to come after those at one.
    """
    triggers = [intervention.trigger for intervention in run.interventions]
    known = [t.step if isinstance(t, AtStep) else run.steps for t in triggers]
    for i in sorted(range(len(triggers)), key=lambda i: known[i]):
        try:
            regime = run.interventions[i].action.regime_after(regime, run)
            regime.batch.check(regime.data.n_train)
        except ValueError as error:
            raise SpecError(f"interventions.{i}.action: {error}") from None
