"""From what files tell of a run to its spec, and to the facts that training it would have yielded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from undergrowth.engine import initial, readings_at
from undergrowth.engine.facts import Fact, Measured, Saved, Stepped
from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.foreign import Claim, Curve, Foreign, State
from undergrowth.imports.split_search import found_split
from undergrowth.measures import Curves, Norms
from undergrowth.measures.reading import Reading, scalar
from undergrowth.models import Model, load_state_dict, state_dict
from undergrowth.schedules import Schedule
from undergrowth.spec import Origin, RunSpec, SpecError
from undergrowth.spec.grid import merged
from undergrowth.tasks import Shuffled
from undergrowth.training.state import Snapshot, TrainState

STRETCH = 1000
"""Updates whose losses lie in one row of the store."""

THINNED = Schedule()
"""The steps that are kept of a reading that was recorded more often."""

WRONG = 0.1
"""How far the logarithm of a loss or a norm may be from that of the file, or an accuracy."""


@dataclass(frozen=True, eq=False)
class Built:
    """A foreign run as one of ours: its name, its spec, and what there is to store.

    disagreements: those of `spec.origin.checked` that differ by more than rounding and one update.
    """

    name: str
    spec: RunSpec
    facts: Sequence[Fact]
    disagreements: Sequence[str]


def built(foreign: Foreign, fields: Mapping[str, Any], *, fresh_optimiser: bool = False) -> Built:
    """A foreign run as one of ours; `fields` of a spec are laid over those that its files tell.

    Raises SpecError, in one line, where they make no possible run.
    """
    spec, assumed = _spec(foreign, fields)
    states = {step: _train_state(spec, state) for step, state in sorted(foreign.states.items())}
    if "split" not in fields and foreign.splits:
        spec, found = _with_split(spec, foreign, states)
        assumed = [*assumed, found]
    origin = Origin(
        digest=_digest(foreign),
        checkpoints=tuple(states),
        moments=tuple(step for step, state in sorted(foreign.states.items()) if state.means is not None),
        fresh_optimiser=fresh_optimiser,
        dialect=foreign.dialect,
        files=tuple(file.origin for file in foreign.files),
        assumed=tuple(assumed),
    )
    spec = spec.replace(origin=origin)
    spec.data()  # an impossible split fails here
    computed = {step: _computed(spec, step, state) for step, state in states.items()}
    checked, disagreements = _checked(foreign.claims, computed)
    spec = spec.replace(origin=origin.model_copy(update={"checked": tuple(checked)}))
    return Built(foreign.name, spec, [*_facts(spec, foreign, states, computed)], disagreements)


def _spec(foreign: Foreign, fields: Mapping[str, Any]) -> tuple[RunSpec, list[str]]:
    last = [*foreign.states, *(step for curve in foreign.curves.values() for step in curve)]
    n_updates = 0 if foreign.update_loss is None else len(foreign.update_loss)
    steps = max([*last, n_updates, 1])
    told = merged({**foreign.fields, "steps": steps}, fields)
    try:
        spec = RunSpec.from_dict(told)
    except SpecError as error:
        raise ForeignFileError(f"{foreign.name} ({foreign.dialect}): {error}") from None
    if spec.steps < steps:
        raise ForeignFileError(
            f"steps = {spec.steps}, but {foreign.name} has steps up to {steps}: raise it"
        )
    assumed = [each for each in foreign.assumed if each.split(":")[0].split(".")[0] not in fields]
    return spec, assumed


def _with_split(
    spec: RunSpec, foreign: Foreign, states: Mapping[int, TrainState]
) -> tuple[RunSpec, str]:
    """The run with the split that its losses tell of, and how it came by it."""
    last = max(states, default=-1)
    claims = [claim for claim in foreign.claims if claim.step == last]
    split = found_split(spec, states[last].model, claims, foreign.splits) if states else None
    if split is None:
        usual = foreign.splits[0]
        why = f"split: not in the files: {_told(usual)}; correct it with --spec"
        return spec.replace(split=usual), why
    return spec.replace(split=split), f"split: not in the files, found by their losses: {_told(split)}"


def _told(split: Shuffled) -> str:
    return f"{split.by}'s shuffle with seed {split.seed}, the first {split.frac_train:.0%}"


def _train_state(spec: RunSpec, state: State) -> TrainState:
    blank = initial(spec).state
    try:
        model = load_state_dict(blank.model, dict(state.weights))
    except ValueError as error:
        raise ForeignFileError(f"its weights do not make a {spec.model.name}: {error}") from None
    if state.means is None or state.squares is None:
        return blank.replace(model=model, opt_state=_begun_anew(spec, model))
    arrays = {}
    for name, array in state_dict(blank.opt_state).items():
        kind, _, weight = name.partition(".mu.") if ".mu." in name else name.partition(".nu.")
        if weight:
            arrays[name] = np.asarray((state.means if f"{kind}.mu." in name else state.squares)[weight])
        else:
            arrays[name] = np.asarray(state.count, array.dtype) if kind.endswith("count") else array
    if not any(".mu." in name for name in arrays):
        raise ForeignFileError(
            f"optimiser.name = {spec.optimiser.name!r} has no moments like the file's"
        )
    return blank.replace(model=model, opt_state=load_state_dict(blank.opt_state, arrays))


def _begun_anew(spec: RunSpec, model: Model) -> Any:
    """An optimiser's state before its first update of these weights."""
    fresh: Any = spec.optimiser.build().init(model)  # pyright: ignore[reportArgumentType]
    like = initial(spec).state.opt_state
    arrays = {name: np.asarray(a) for name, a in state_dict(fresh).items()}
    typed = {name: arrays[name].astype(a.dtype) for name, a in state_dict(like).items()}
    return load_state_dict(like, typed)


def _computed(spec: RunSpec, step: int, state: TrainState) -> dict[str, Reading]:
    """What our instruments read of the weights at a step."""
    found: dict[str, Reading] = {}
    for readings in readings_at(spec, Snapshot(step, state), [Curves(), Norms()]):
        found |= readings
    return found


def _checked(
    claims: Sequence[Claim], computed: Mapping[int, Mapping[str, Reading]]
) -> tuple[list[str], list[str]]:
    """What the files say of their weights beside what these come to: of each reading the farthest, and
    those that do not agree.
    """
    by_name: dict[str, list[tuple[float, Claim, float]]] = {}
    for claim in claims:
        here = float(computed[claim.step][claim.name].values)
        by_name.setdefault(claim.name, []).append((_apart(claim, here), claim, here))
    checked, disagreements = [], []
    for name, found in by_name.items():
        apart, claim, here = max(found, key=lambda each: each[0])
        where = "" if len(found) == 1 else f"{len(found)} steps, farthest "
        lag = f" ({claim.lags} update{'s'[: claim.lags > 1]} before)" if claim.lags else ""
        text = f"{name}: {where}at {claim.step}: {claim.value:.6g}{lag} in the file, {here:.6g} computed"
        checked.append(text if apart <= WRONG else f"{text}: they differ")
        disagreements += checked[-1:] if apart > WRONG else []
    return checked, disagreements


def _apart(claim: Claim, here: float) -> float:
    """How far a claim is from what was computed: an accuracy's difference, or a ratio's logarithm."""
    if claim.name.endswith("accuracy"):
        return abs(here - claim.value)
    return (
        abs(float(np.log(here / claim.value))) if here > 0 < claim.value else float(here != claim.value)
    )


def _facts(
    spec: RunSpec,
    foreign: Foreign,
    states: Mapping[int, TrainState],
    computed: Mapping[int, Mapping[str, Reading]],
) -> Iterator[Fact]:
    kept = {*Norms().names, *(() if foreign.curves else Curves().names)}
    for step, state in states.items():
        yield Measured(step, {name: read for name, read in computed[step].items() if name in kept})
        yield Saved(Snapshot(step, state))
    for name, curve in foreign.curves.items():
        yield from (Measured(step, {name: scalar(value)}) for step, value in sorted(curve.items()))
    for name, curve in foreign.recorded.items():
        yield from (
            Measured(step, {_reading_name(name): scalar(value)})
            for step, value in _thinned(curve, spec.steps)
        )
    losses = np.asarray([] if foreign.update_loss is None else foreign.update_loss, np.float32)
    for first in range(0, len(losses), STRETCH):
        yield Stepped(first, losses[first : first + STRETCH])


def _thinned(curve: Curve, last: int) -> list[tuple[int, float]]:
    """A curve, and of a dense one the points at the steps of a usual schedule."""
    points = sorted(curve.items())
    if len(points) <= STRETCH:
        return points
    wanted = {*THINNED.steps(last), points[-1][0]}
    return [(step, value) for step, value in points if step in wanted]


def _reading_name(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "unnamed"
    return f"recorded_{plain}"


def _digest(foreign: Foreign) -> str:
    """SHA-256 of all that is imported, by names and steps in order."""
    hasher = hashlib.sha256()
    for step, state in sorted(foreign.states.items()):
        kinds = {"weights": state.weights, "means": state.means or {}, "squares": state.squares or {}}
        hasher.update(f"{step} {state.count}".encode())
        for kind, arrays in kinds.items():
            for name, array in sorted(arrays.items()):
                hasher.update(f"{kind} {name} {array.dtype} {array.shape}".encode())
                hasher.update(np.ascontiguousarray(array).tobytes())
    for kind, curves in (("curves", foreign.curves), ("recorded", foreign.recorded)):
        for name, curve in sorted(curves.items()):
            hasher.update(f"{kind} {name} {sorted(curve.items())}".encode())
    if foreign.update_loss is not None:
        hasher.update(np.asarray(foreign.update_loss, np.float32).tobytes())
    return hasher.hexdigest()
