"""An endpoint: what is compared to what, and from which effect on that answers a claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from undergrowth.analysis import (
    Estimate,
    Rule,
    Value,
    Verdict,
    censored_estimate,
    difference,
    estimate,
    proportion,
)
from undergrowth.analysis.verdicts import Chosen, Several
from undergrowth.studies.statistic import Missing, Statistic
from undergrowth.studies.table import NOT_THERE, Table


@dataclass(frozen=True)
class Measured:
    """What an endpoint comes to.

    values, control: by seed; several: by seed what is pooled, where that is more than a number; by_arm:
    where the estimate is of whole arms and not of numbers a seed, what it is computed from, by arm and
    seed; missing: by reason, how many seeds have no value, and of the control where that has values of
    its own.
    """

    estimate: Estimate
    values: Mapping[int, Value] = field(default_factory=dict)
    control: Mapping[int, Value] = field(default_factory=dict)
    several: Mapping[int, Several] = field(default_factory=dict)
    by_arm: Mapping[str, Mapping[int, Value]] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    missing_control: Mapping[str, int] = field(default_factory=dict)


Pooled = Callable[[Mapping[int, Any]], tuple[Estimate, Mapping[int, Value]]]
"""From what each seed gave (a `Value` or `Several`) to the estimate, and a value for each seed."""


@dataclass(frozen=True)
class Endpoint:
    """A claim's number: of an arm, by itself or against a control.

    name: unique in a study; claim: its id; rule: what decides; control: an arm, beside whose run of the
    same seed each run is put where it is `paired`, and whose mean is otherwise taken away; is_primary:
    whether it gives the claim its ruling, which one endpoint of one study does; waits_for: why the runs
    of this budget cannot decide it; at_least: the fewest seeds with a value that do; pooled: what the
    seeds' values come to, and one for each, where that is no mean or each has `Several` (of an arm alone
    or paired);
    measured: in place of a number a seed, an estimate from the whole table, of which `arm` and `control`
    then are only names; note: what else a reader should know, from the table.
    """

    name: str
    claim: str
    statistic: Statistic
    arm: str
    rule: Rule
    control: str | None = None
    paired: bool = True
    is_primary: bool = False
    waits_for: str = ""
    at_least: int = 0
    pooled: Pooled | None = None
    measured: Callable[[Table, Endpoint], Measured] | None = None
    note: Callable[[Table], str] | None = None

    def verdict(self, table: Table) -> Verdict:
        """What the runs say."""
        found = self.measured(table, self) if self.measured else measured_by_seed(table, self)
        least, most = self.statistic.range
        if self.control is not None and not self.paired:  # a difference of two such numbers
            least, most = least - most, most - least
        estimate = found.estimate.within(least, most)
        return Verdict(
            claim=self.claim,
            study=table.study,
            endpoint=self.name,
            statistic=self._compared,
            estimate=estimate,
            rule=self.rule,
            is_primary=self.is_primary,
            arm=self.arm,
            control=self.control,
            how=self.statistic.how,
            says=self._says(estimate) if estimate.n else "",
            note=self.note(table) if self.note else "",
            missing=dict(Counter(found.missing) + Counter(found.missing_control)),
            worst_case=worst_case(found, self),
            values=found.values,
            several=found.several,
            by_arm=found.by_arm or self._of_control(found.control),
            waits_for=self.waits_for or self._too_few(estimate.n),
            chosen=chosen(table),
        )

    @property
    def _compared(self) -> str:
        """What the estimate is of: of an arm, or how much more it is than a control's."""
        is_difference = self.control is not None and not self.paired and self.measured is None
        return f"{self.statistic.name}, minus the control's" if is_difference else self.statistic.name

    def _says(self, found: Estimate) -> str:
        """The effect in words; of one that is only a bound, on which side of it the truth lies."""
        said = self.statistic.says(found.effect)
        is_open = np.isinf([found.low, found.high])
        if is_open.sum() != 1 or not np.isfinite(found.effect):
            return said
        return f"{said} or {'more' if is_open[1] == (found.effect >= 0) else 'less'}"

    def _of_control(self, values: Mapping[int, Value]) -> Mapping[str, Mapping[int, Value]]:
        return {self.control: values} if self.control is not None and values else {}

    def _too_few(self, n: int) -> str:
        """What it waits for where some seeds have a value, and fewer than it takes."""
        return f"{self.at_least} seeds with a value: there are {n}" if 0 < n < self.at_least else ""


def chosen(table: Table) -> Chosen:
    """Whether any of the runs has a seed on which settings were looked at."""
    seeds = {seed for by_seed in table.runs.values() for seed in by_seed}
    return "explore" if not seeds or min(seeds) < 100 else "confirm"


def measured_by_seed(table: Table, endpoint: Endpoint) -> Measured:
    """The statistic of each seed, and the estimate that fits its kind."""
    missing = Counter(table.carried.missing.get(endpoint.name, {}))
    if endpoint.control is None or not endpoint.paired:
        values = values_of(table, endpoint.arm, endpoint.statistic, missing)
        values = _beside(table.carried.of(endpoint.name, endpoint.arm), values)
        if endpoint.control is None:
            return _together(endpoint, values, missing)
        without: Counter[str] = Counter()
        control = values_of(table, endpoint.control, endpoint.statistic, without)
        control = _beside(table.carried.of(endpoint.name, endpoint.control), control)
        found = difference(_numbers(values), _numbers(control))
        return Measured(found, values, control, missing=missing, missing_control=without)
    missing += Counter(table.absent.get(endpoint.arm, {}).values())
    values: dict[int, Any] = {}
    for seed, run in sorted(table.runs.get(endpoint.arm, {}).items()):
        control = table.runs.get(endpoint.control, {}).get(seed)
        if control is None:
            missing[f"no run of its control, {endpoint.control}"] += 1
        elif (value := _value(endpoint.statistic, missing, run, control)) is not None:
            values[seed] = value
    return _together(endpoint, _beside(table.carried.of(endpoint.name, endpoint.arm), values), missing)


def _together(endpoint: Endpoint, given: Mapping[int, Any], missing: Mapping[str, int]) -> Measured:
    """The estimate of what each seed gave."""
    if endpoint.pooled is None:
        return Measured(aggregate(list(given.values())), given, missing=missing)
    found, values = endpoint.pooled(given)
    several = {seed: each for seed, each in given.items() if isinstance(each, Several)}
    return Measured(found, values, several=several, missing=missing)


def _numbers(values: Mapping[int, Any]) -> list[float]:
    return [float(value) for value in values.values()]


def _beside(carried: Mapping[int, Any], values: Mapping[int, Any]) -> dict[int, Any]:
    """The values of seeds, with those that were found before of other seeds, of the same kind."""
    if any(isinstance(value, bool | np.bool_) for value in values.values()):
        carried = {seed: bool(value) for seed, value in carried.items()}
    return dict(sorted({**carried, **values}.items()))


def values_of(table: Table, arm: str, statistic: Statistic, missing: Counter[str]) -> dict[int, Any]:
    """The statistic of each run of an arm; what has none is counted by its reason in `missing`."""
    missing.update(table.absent.get(arm, {}).values())
    found = {}
    for seed, run in sorted(table.runs.get(arm, {}).items()):
        if (value := _value(statistic, missing, run)) is not None:
            found[seed] = value
    return found


def _value(statistic: Statistic, missing: Counter[str], *runs) -> Any:
    if not statistic.takes_failed and any(run.status == "failed" for run in runs):
        missing["diverged"] += 1
        return None
    value = statistic.of(*runs)
    if isinstance(value, Missing):
        missing[value.why] += 1
        return None
    if isinstance(value, tuple) and np.isinf(value).all():
        missing["nothing is known: neither ended in time"] += 1
        return None
    numbers = value.numbers if isinstance(value, Several) else value
    if isinstance(numbers, float | np.floating | tuple) and np.isnan(numbers).any():
        missing["has no value"] += 1
        return None
    return value


def aggregate(values: Sequence[Value]) -> Estimate:
    """The estimate that the kind of the values asks for: a proportion of yes and no, a censored mean of
    numbers some of which are bounds, a mean of numbers.
    """
    if values and isinstance(values[0], bool | np.bool_):
        return proportion(values)  # pyright: ignore[reportArgumentType]
    if any(isinstance(value, tuple) for value in values):
        bounds = [value if isinstance(value, tuple) else (value, value) for value in values]
        return censored_estimate(*zip(*bounds, strict=True))  # pyright: ignore[reportArgumentType]
    return estimate(values)  # pyright: ignore[reportArgumentType]


def worst_case(found: Measured, endpoint: Endpoint) -> tuple[float, float] | None:
    """The effect if the seeds that have no value, for how they went, had come out at either end of the
    statistic's range, or where that is open of the values that there are (Manski 1990); of a difference,
    the control's at the other end. None with none.
    """
    n, n_control = (
        sum(count for why, count in missing.items() if why != NOT_THERE)
        for missing in (found.missing, found.missing_control)
    )
    if (
        not n + n_control
        or not found.values
        or endpoint.measured
        or endpoint.pooled
        or isinstance(_any(found.values), tuple)
    ):
        return None
    values, control = _numbers(found.values), _numbers(found.control)
    least, most = (
        bound if np.isfinite(bound) else extreme([*values, *control])
        for bound, extreme in zip(_range(found, endpoint), (min, max), strict=True)
    )
    return tuple(
        float(np.mean([*values, *[end] * n]) - (np.mean(its) if its else 0.0))
        for end, other in ((least, most), (most, least))
        for its in [[*control, *[other] * n_control]]
    )  # pyright: ignore[reportReturnType]


def _any(values: Mapping[int, Value]) -> Value:
    return next(iter(values.values()))


def _range(found: Measured, endpoint: Endpoint) -> tuple[float, float]:
    return (0.0, 1.0) if isinstance(_any(found.values), bool | np.bool_) else endpoint.statistic.range
