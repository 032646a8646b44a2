"""The switch: one trunk, and the arms that branch off it when the learning rate is multiplied."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from markupsafe import Markup

from undergrowth.explore.cast import Cast, events_of
from undergrowth.explore.scenes.curves import of_reading
from undergrowth.explore.stills import lines
from undergrowth.explore.story import Beat, LeftOut, Scene, Story, paragraph, percent, sets
from undergrowth.store import Run

TITLE = "The switch"
CALLED = re.compile(r"(?:addition: )?(?P<what>.+) at (?P<where>memorised|onset|step 1,000)")
"""How the arms are called in the study `lr-boost` and in the story's own spec file."""
NO_OP, HELD = "no-op", "lr × 10, rate × decay held"
READINGS = ("train_accuracy", "val_accuracy")
WHERE = ("memorised", "onset", "step 1,000")


def arms_of(cast: Cast, runs: Mapping[int, Run]) -> dict[int, dict[str, Run]]:
    """By seed and name the runs that branch off each trunk."""
    found: dict[int, dict[str, Run]] = {}
    for seed, trunk in runs.items():
        named = {
            name: run for run in cast.forks(trunk) if (name := _name(run)) and run.forked_at is not None
        }
        found[seed] = dict(sorted(named.items(), key=lambda item: _place(item[0])))
    return found


def _name(run: Run) -> str | None:
    for called in run.called:
        if match := CALLED.fullmatch(called):
            return f"{match['what']} at {match['where']}"
    return None


def _place(name: str) -> tuple[int, bool, bool, float, str]:
    """Switch by switch; first what does nothing, then rates by factor, then the rest."""
    what, where = name.rsplit(" at ", 1)
    factor = re.fullmatch(r"lr × ([\d.]+)", what)
    return WHERE.index(where), what != NO_OP, factor is None, float(factor[1]) if factor else 0.0, name


def switch(
    story: Story, runs: Mapping[int, Run], arms: Mapping[int, Mapping[str, Run]]
) -> Iterator[Scene | LeftOut]:
    """Accuracy of the trunk once, and of each arm from its fork on."""
    told = {seed: its for seed, its in arms.items() if its}
    if not told:
        yield LeftOut(
            TITLE, "no run of this store branches off the trunk", story.training_command("STORE")
        )
        return
    names = sorted({name for its in told.values() for name in its}, key=_place)
    seed = min(told)
    arrays = [of_reading(runs[seed], seed, name, f"{name}|") for seed in told for name in READINGS]
    for seed_of, its in told.items():
        for arm, run in its.items():
            arrays += [
                of_reading(run, seed_of, name, f"{name}|{arm}", run.forked_at or 0) for name in READINGS
            ]
    yield Scene(
        "switch",
        TITLE,
        tuple(_beats(told[seed], names)),
        "Accuracy over training steps: the trunk as one line, and each arm as a line from the step at "
        "which it branches off.",
        _still(runs[seed], told[seed], names),
        tuple(arrays),
        {
            "arms": names,
            "forkedAt": {
                seed: {n: run.forked_at for n, run in its.items()} for seed, its in told.items()
            },
            "grokked": {
                seed: {n: _grokked(run) for n, run in its.items()} for seed, its in told.items()
            },
        },
        "Every stored evaluation, exactly. Arms have their trunk's weights up to the fork.",
    )


def _grokked(run: Run) -> int | None:
    return events_of(run)["grokked"].first


def _still(trunk: Run, its: Mapping[str, Run], names: list[str]) -> Markup:
    shown = [name for name in names if name in its][:6]
    series = {"trunk": (trunk["val_accuracy"]["step"].values, trunk["val_accuracy"].values)}
    for name in shown:
        values = its[name]["val_accuracy"].dropna("step")
        values = values.where(values["step"] >= (its[name].forked_at or 0), drop=True)
        series[name] = (values["step"].values, values.values)
    colours = {"trunk": "var(--soft)"} | {n: f"var(--arm{i})" for i, n in enumerate(shown)}
    return lines(series, colours, x="training step (logarithmic)", y="accuracy on held-out examples")


def _beats(its: Mapping[str, Run], names: list[str]) -> Iterator[Beat]:
    where = next((w for w in WHERE if f"{NO_OP} at {w}" in its), None)
    if where is None:
        where = names[0].rsplit(" at ", 1)[1]
    here = {name.rsplit(" at ", 1)[0]: run for name, run in its.items() if name.endswith(f" at {where}")}
    fork = next(iter(here.values())).forked_at or 0
    yield paragraph(
        "The proposal: if a network has memorised and only creeps, multiply its learning rate, and it "
        "should generalise as many times sooner. Here one trunk runs to {} ({}), and arms branch off it "
        "that differ in what they are named after, and in nothing else.",
        sets(f"step {fork:,}", step=fork),
        where,
        step=fork,
        arm=f"{NO_OP} at {where}" if NO_OP in here else "",
        switch=where,
        align="step",
        axis="log",
    )
    base = _since(here.get(NO_OP))
    for what in ("lr × 10", HELD, "lr × 100"):
        if (run := here.get(what)) is not None:
            yield _of_arm(what, where, run, base)
    others = [w for w in WHERE if w != where and any(name.endswith(f" at {w}") for name in its)]
    yield paragraph(
        "{} all arms at the switch, to compare the steps that each took from there{}. One seed proves "
        "nothing: change the seed below, and go on to what all of them say.",
        sets("Align", align="switch"),
        Markup(", or branch {} instead").format(Markup(" or ").join(_goes(w, its) for w in others))
        if others
        else "",
        align="switch",
    )


def _goes(where: str, its: Mapping[str, Run]) -> Markup:
    """Words that show the arms of another switch."""
    arm = next(name for name in its if name.endswith(f" at {where}"))
    return sets(f"at {where}", switch=where, arm=arm)


def _since(run: Run | None) -> int | None:
    grokked = _grokked(run) if run is not None else None
    return grokked - (run.forked_at or 0) if run is not None and grokked is not None else None


def _of_arm(what: str, where: str, run: Run, base: int | None) -> Beat:
    grokked, since = _grokked(run), _since(run)
    train = run["train_accuracy"].dropna("step")
    low = float(train.where(train["step"] >= (run.forked_at or 0)).min())
    last = float(run["val_accuracy"].dropna("step").values[-1])
    if since is None:
        said = f"it does not reach 99\u00a0% in this run, and ends at {percent(last, 1)}"
    elif not base:
        said = f"it takes {since:,} steps from the switch to 99\u00a0%"
    else:
        ratio = base / max(since, 1)
        said = f"it takes {since:,} steps from the switch to 99\u00a0%, doing nothing {base:,}: "
        said += f"{ratio:.1f} times sooner" if ratio >= 1 else f"{1 / ratio:.1f} times later"
    return paragraph(
        "{}: {}. At its lowest after the switch training accuracy is {}{}",
        sets(what, arm=f"{what} at {where}"),
        said,
        percent(low),
        f", and in the end {percent(last, 1)} of the held-out examples are right."
        if since is not None
        else ".",
        arm=f"{what} at {where}",
        step=grokked or int(run["val_accuracy"]["step"].values[-1]),
    )
