"""What decides P9 and C12, and what shows how robust that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from undergrowth.analysis import (
    Above,
    Estimate,
    Exceeds,
    Value,
    across,
    estimate,
    nested_estimate,
)
from undergrowth.analysis.intervals import unknown
from undergrowth.analysis.leaked import describe_onset_beyond_leak
from undergrowth.analysis.verdicts import Several
from undergrowth.report.groups import plural
from undergrowth.store import Run
from undergrowth.studies.arm import Budget
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.own_scale import waits_for
from undergrowth.studies.spikes.arms import (
    DECAYS,
    EPSILONS,
    EXACT,
    KICK_NORM,
    KICKED,
    ROUNDED,
    arms,
)
from undergrowth.studies.spikes.statistics import (
    COINCIDE,
    EXCESS,
    PERSIST,
    STRUCTURE,
    STRUCTURES,
    Structure,
    across_spikes,
    beyond_kicks,
    gain,
    gained_early,
    last,
    of_each_spike,
    onset,
    spikes_of,
)
from undergrowth.studies.statistic import Missing, Statistic, points, share
from undergrowth.studies.table import Table

NOTHING = 0.1
"""Of what a run gains from memorised to its end, the share below which early spikes gained nothing."""

WORTH = 0.05
"""The least change across a spike that counts, as a share of how far the reading ranges over the run:
twenty such spikes would make up the whole way."""


NO_KICKS = "kicks as large as the spikes of these runs, which seeds 0 to 3 have yet to tell"


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Both primaries are about the regime of the post's curves: without decay, and as these were made.

    Of the stand-in only runs with decay generalise, so there early is what comes before in these.
    """
    found = (
        *(each for decay in DECAYS for each in _at(decay)),
        *(_early(structure, ROUNDED[0.0 if budget == "full" else 1.0]) for structure in STRUCTURES),
    )
    return tuple(_of(budget, each) for each in found if _is_of(budget, each))


def _is_of(budget: Budget, endpoint: Endpoint) -> bool:
    """Whether the budget has its arms, or but for its kicks."""
    has = {arm.name for arm in arms(budget)} | {KICKED[0.0]}
    return {endpoint.arm, endpoint.control or endpoint.arm} <= has


def _of(budget: Budget, endpoint: Endpoint) -> Endpoint:
    if endpoint.name in (f"{STRUCTURE.name}, decay 0", f"early, {STRUCTURE.name}"):
        return replace(endpoint, is_primary=True, waits_for=waits_for(budget))
    is_kicked = budget == "full" and endpoint.control == KICKED[0.0]
    return replace(endpoint, waits_for=NO_KICKS) if is_kicked else endpoint


def _at(decay: float) -> Iterator[Endpoint]:
    """P9 at one weight decay."""
    at, rounded, exact, epsilon = f"decay {decay:g}", ROUNDED[decay], EXACT[decay], EPSILONS[decay]
    for structure in STRUCTURES:
        yield _across(structure, rounded, at)
        yield _across(structure, rounded, at, KICKED[decay], KICK_NORM[decay])
    yield Endpoint(
        f"validation spikes, {at}", "P9", COINCIDE, rounded, Exceeds(0.1), note=counted(rounded)
    )
    for name, arm, note in (
        ("exact", exact, _collapsed(decay)),
        ("large epsilon", epsilon, counted(epsilon, rounded)),
    ):
        yield Endpoint(
            f"remain, {name}, {at}", "P9", PERSIST, arm, Above(0.0), control=rounded, note=note
        )


def _across(
    structure: Structure, arm: str, at: str, kicked: str | None = None, kick_norm: float = 0.0
) -> Endpoint:
    """Of a value for each spike, which seeds have unequally many of, minus matched windows or kicks."""
    each = partial(beyond_kicks if kicked else across_spikes, structure=structure)
    minus = "across a random kick" if kicked else "across matched windows"
    kicks = (
        f"A kick moves the weights at random by {kick_norm:g} of their norm, as far as a spike "
        "does; its windows are as long as the seed's median spike. "
    )
    statistic = Statistic(
        f"{structure.name}: change across a spike minus {minus}, as a share of its range",
        f"{structure.name.capitalize()}: {structure.says}. {EXCESS} {kicks if kicked else ''}Mean over "
        "spikes with a random intercept for each seed.",
        of_each_spike(each),
        says=points("of the range, across a spike"),
        takes_failed=True,
    )
    return Endpoint(
        f"{structure.name}{' beyond kicks' if kicked else ''}, {at}",
        "P9",
        statistic,
        arm,
        Exceeds(WORTH),
        control=kicked,
        pooled=over_spikes,
        note=counted(arm),
    )


def over_spikes(given: Mapping[int, Several]) -> tuple[Estimate, dict[int, Value]]:
    """The mean of all spikes, with a random intercept for each seed; for each seed that of its own."""
    values: dict[int, Value] = {seed: float(np.mean(its.numbers)) for seed, its in given.items()}
    return nested_estimate([its.numbers for its in given.values()]), values


FEWEST = 12
"""Seeds with an early spike that C12 takes: most seeds have none."""


def _early(structure: Structure, arm: str) -> Endpoint:
    """C12: the part of the runs' gain that is made across early spikes, as a ratio of means."""

    def of(run: Run) -> Several | Missing:
        gained = gained_early(run, structure)
        return gained if isinstance(gained, Missing) else Several((gained, gain(run, structure)))

    statistic = Statistic(
        f"{NOTHING:g} minus the share of the runs' gain made across early spikes: {structure.name}",
        f"{structure.name.capitalize()}: {structure.says}. {EXCESS} Summed over the spikes before the "
        f"onset ({describe_onset_beyond_leak()}). Gain: from memorised to the end, mean over seeds; "
        "if its interval is not above 0, there is no share.",
        of,
        says=lambda left: share("of the gain across early spikes")(NOTHING - left),
    )
    return Endpoint(
        f"early, {structure.name}",
        "C12",
        statistic,
        arm,
        Above(0.0),
        at_least=FEWEST,
        pooled=share_of_gain,
        note=_never_set_off(arm),
    )


def share_of_gain(given: Mapping[int, Several]) -> tuple[Estimate, dict[int, Value]]:
    """`NOTHING` minus a ratio of means: what seeds gain early, over what they gain in all."""
    early, whole = np.array([its.numbers for its in given.values()]).reshape(-1, 2).T
    gain = estimate(whole)
    left, is_known = NOTHING * whole - early, gain.low > 0
    shares = left / gain.effect if is_known else left
    found = estimate(shares) if is_known else unknown(np.nan, gain.level, gain.n)
    return found, dict(zip(given, shares.tolist(), strict=True))


def counted(*names: str) -> Callable[[Table], str]:
    """How many spikes arms have, in how many seeds."""

    def note(table: Table) -> str:
        told = []
        for arm in table.among(names):
            counts = [len(spikes_of(run)) for run in table.of(arm)]
            some = sum(count > 0 for count in counts)
            told.append(
                f"{plural(sum(counts), 'spike')} in {some} of {plural(len(counts), 'seed')} ({arm})."
            )
        return " ".join(told)

    return note


def _collapsed(decay: float) -> Callable[[Table], str]:
    """Spikes, and how many examples' gradient is rounded to nothing just before one."""

    def note(table: Table) -> str:
        befores = [
            across(run["collapse_share"].sel(side="train"), spikes_of(run), within=last(run))["before"]
            for run in table.of(ROUNDED[decay])
            if "collapse_share" in run.names
        ]
        shares = np.concatenate([np.empty(0), *(before.values for before in befores)])
        told = counted(EXACT[decay], ROUNDED[decay])(table)
        if np.isfinite(shares).any():
            told += f" Before a spike float32 rounds away the whole gradient of {np.nanmean(shares):.0%}"
            told += " of the training examples."
        return told

    return note


def _never_set_off(arm: str) -> Callable[[Table], str]:
    def note(table: Table) -> str:
        never = sum(np.isinf(onset(run)) for run in table.of(arm))
        return f"{counted(arm)(table)} {never} have no onset: all of their spikes count as early."

    return note
