"""What is known of a store's runs, and what of it is new since any earlier version."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from undergrowth.live.milestones import Milestones
from undergrowth.live.pace import Pace
from undergrowth.live.tail import CURVES, Look, News, intact
from undergrowth.naming import arms_told_apart
from undergrowth.plain_text import in_one_line
from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.errors import StoreError
from undergrowth.store.parts import Part

MOST_WRONG = 5
"""Lines of what is wrong that are shown one by one."""

NAN = math.nan


@dataclass
class Attempt:
    """What one database says of how a run stands."""

    status: str
    message: str
    began: float
    ended: float | None
    at_work: bool


@dataclass
class At:
    """The curves of a run at one step: the version in which they came, and from where."""

    version: int
    path: Path
    values: list[float]


@dataclass
class Watched:
    """A run, or one that is yet to begin and of which only the part or the name is known.

    at: its curves by step, in the order in which they came; reached: the last step of any reading.
    """

    id: str
    version: int = 0
    spec: RunSpec | None = None
    attempts: dict[Path, Attempt] = field(default_factory=dict)
    parts: set[Part] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    at: dict[int, At] = field(default_factory=dict)
    reached: int = 0
    events: dict[tuple[int, str, str], str] = field(default_factory=dict)
    forked_at: int | None = None
    pace: Pace = field(default_factory=Pace)
    milestones: Milestones = field(default_factory=Milestones)
    last: int = -1
    arm: str = ""

    @property
    def attempt(self) -> Attempt | None:
        """The one that counts: a finished one over an unfinished one, a later over an earlier."""
        return max(self.attempts.values(), key=lambda a: (a.status == "done", a.began), default=None)

    def status(self, in_use: bool) -> str:
        """How it stands; a run that nobody is writing to and that has not ended is interrupted."""
        attempt = self.attempt
        if attempt is None:
            return "waiting" if in_use else "not begun"
        if attempt.status == "running":
            return "running" if in_use and attempt.at_work else "interrupted"
        return attempt.status


class Board:
    """All runs of a store as the looks at it come in, each with the version in which it last changed.

    epoch: differs whenever what was told before no longer holds; is_all: whether the whole store has
    been read.
    """

    def __init__(self) -> None:
        self.in_use, self.is_all = False, False
        self.wrong: dict[str, str] = {}
        self._start()

    def _start(self) -> None:
        self.epoch, self.version = secrets.token_hex(4), 1
        self.runs: dict[str, Watched] = {}
        self.damage: dict[str, None] = {}
        self.n_named = 0

    def take(self, look: Look, now: float) -> bool:
        """Take in what a look has found; whether anything is new. now: seconds of a steady clock."""
        if look.is_other:
            self._start()
        version, told = self.version, self._state
        self.version += 1
        was_in_use, self.in_use = self.in_use, look.in_use
        self.wrong, self.is_all = look.wrong, look.is_all
        for news in look.news:
            self._take(news, now)
        if was_in_use != self.in_use:
            for run in [*self.runs.values()]:
                if run.attempt is None or run.attempt.status == "running":
                    self._touch(run.id)
        self._name()
        is_new = look.is_other or told != self._state
        if not is_new and not any(True for _ in self._since(version)):
            self.version = version
            return False
        return True

    @property
    def _state(self) -> tuple[object, ...]:
        return self.in_use, self.is_all, self.wrong, len(self.damage)

    def _since(self, version: int) -> Iterator[Watched]:
        """The runs that have changed since a version, the latest first."""
        return takewhile(lambda run: run.version > version, reversed(self.runs.values()))

    def _touch(self, run_id: str) -> Watched:
        """The run, marked as changed, which puts it last."""
        run = self.runs.pop(run_id, None) or Watched(run_id)
        run.version = self.version
        self.runs[run_id] = run
        return run

    def _take(self, news: News, now: float) -> None:
        for row in news.rows.get("runs", ()):
            self._take_account(row, news)
        for run in [*self.runs.values()]:
            attempt = run.attempts.get(news.path)
            if attempt is not None and attempt.at_work != news.at_work:
                attempt.at_work = news.at_work
                self._touch(run.id)
        for row in intact(news.rows.get("names", ())):
            self._touch(row["run_id"]).names.add(row["name"])
        for row in intact(news.rows.get("parts", ())):
            part = Part(row["study"], row["budget"], row["arm"], row["role"], row["seed"])
            self._touch(row["run_id"]).parts.add(part)
        for row in news.rows.get("events", ()):
            self._take_event(row)
        self._take_points(news)
        for run_id, step in news.reached.items():
            if (run := self.runs.get(run_id)) is not None and run.spec is not None:
                self._touch(run_id)
                run.reached = max(run.reached, min(step, run.spec.steps))
                run.pace.see(run.reached, now)
        for line in news.wrong:
            self.damage[line] = None

    def _take_account(self, row: Any, news: News) -> None:
        try:
            spec = rows.spec_of_row(row)
            if not rows.is_intact(row) or row["status"] not in rows.STATUSES:
                raise StoreError(
                    f"its status, message, times or environment were changed: {rows.VERIFY}"
                )
        except StoreError as error:
            self.damage[f"run {in_one_line(row['run_id'])} cannot be read: {error}"] = None
            return
        run = self._touch(spec.id)
        run.spec = spec
        run.pace = Pace()  # an attempt has begun, or ended
        run.attempts[news.path] = Attempt(
            row["status"], row["message"], row["began"], row["ended"], news.at_work
        )

    def _take_event(self, row: Any) -> None:
        try:
            detail = rows.event_of(row)
        except StoreError as error:
            self.damage[str(error)] = None
            return
        run = self.runs.get(row["run_id"])
        if run is None or run.spec is None:
            return
        self._touch(run.id)
        kind, step = row["kind"], row["step"]
        if kind == "forked":
            run.forked_at = step
            run.reached = max(run.reached, step)
        run.events[step, kind, row["detail"]] = _event_in_words(run.spec, kind, detail)

    def _take_points(self, news: News) -> None:
        read = {point.run_id for point in news.points} & self.runs.keys()
        began = {run_id: _began(self.runs[run_id], news.path) for run_id in read}
        out_of_order: set[str] = set()
        for point in news.points:
            run = self.runs.get(point.run_id)
            if run is None or run.spec is None or not 0 <= point.step <= run.spec.steps:
                continue
            at = run.at.get(point.step)
            if at is None or at.version != self.version or at.path != news.path:
                if at is not None and _began(run, at.path) > began[run.id]:
                    continue  # a later attempt has read it again
                values = [NAN] * len(CURVES) if at is None else at.values
                run.at.pop(point.step, None)  # the latest come last
                at = run.at[point.step] = At(self.version, news.path, values)
                if point.step <= run.last:
                    out_of_order.add(run.id)
                run.last = max(run.last, point.step)
            at.values[CURVES.index(point.name)] = point.value
        for run_id in began:
            self._find_milestones(self.runs[run_id], run_id in out_of_order)

    def _find_milestones(self, run: Watched, anew: bool) -> None:
        """Those of a run with its new points; from all of its points where one came again."""
        if anew:
            run.milestones = Milestones()
            points = sorted(run.at.items())
        else:
            newest = takewhile(lambda item: item[1].version == self.version, reversed(run.at.items()))
            points = reversed([*newest])
        for step, at in points:
            run.milestones.see(step, at.values[0], at.values[1])

    def _name(self) -> None:
        """Give each run the name of its arm, where one has come or was given another name."""
        known = [run for run in self.runs.values() if run.spec is not None and not run.parts]
        n_named = sum(1 + len(run.names) for run in known)
        told: dict[str, str] = {}
        if n_named != self.n_named:
            self.n_named = n_named
            called = {run.id: sorted(run.names) for run in known}
            told = arms_told_apart([run.spec for run in known if run.spec is not None], called)
        for run in [*self._since(self.version - 1), *(self.runs[run_id] for run_id in told)]:
            arm = told.get(run.id) or _arm_of(run) or run.arm
            if arm != run.arm:
                self._touch(run.id).arm = arm

    def since(self, version: int) -> dict[str, Any]:
        """What is new: runs that changed, as `summary` gives them, and points as `row` does, by run."""
        changed = [*self._since(version)]
        points = {run.id: its for run in changed if (its := _points_since(run, version))}
        return {**self._told(changed), "points": points if version else {}}

    def _told(self, changed: Iterable[Watched]) -> dict[str, Any]:
        wrong = [*self.wrong.values(), *self.damage]
        more = len(wrong) - MOST_WRONG
        shown = [in_one_line(line) for line in wrong[:MOST_WRONG]]
        return {
            "id": f"{self.epoch}-{self.version}",
            "in_use": self.in_use,
            "is_all": self.is_all,
            "wrong": [*shown, *([f"and {more} more"] if more > 0 else [])],
            "runs": [summary(run, self.in_use) for run in changed],
        }

    def curves(self, run_id: str) -> list[list[float | None]]:
        """All points of a run, those of its trunk below where it left it included, by step."""
        found: dict[int, At] = {}
        below: int | None = None
        run = self.runs.get(run_id)
        seen: set[str] = set()
        while run is not None and run.id not in seen:
            seen.add(run.id)
            its = {s: at for s, at in run.at.items() if below is None or s < below}
            found = its | found
            if run.spec is None or run.spec.fork is None or run.forked_at is None:
                break
            below, run = run.forked_at, self.runs.get(run.spec.fork.of)
        return [_row(step, at) for step, at in sorted(found.items())]


def _began(run: Watched, path: Path) -> float:
    attempt = run.attempts.get(path)
    return attempt.began if attempt else 0.0


def _points_since(run: Watched, version: int) -> list[list[float | None]]:
    newest = takewhile(lambda item: item[1].version > version, reversed(run.at.items()))
    return [_row(step, at) for step, at in newest][::-1]


def _row(step: int, at: At) -> list[float | None]:
    """A step and the curves there, in the order of `CURVES`; None for what is no finite number."""
    return [step, *map(_short, at.values)]


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _arm_of(run: Watched) -> str:
    """From a study, its arm; of one that is yet to begin, its name."""
    if run.parts:
        first = min(run.parts)
        return f"{first.study}: {first.arm}"
    return "" if run.spec is not None else ", ".join(sorted(run.names))


def _event_in_words(spec: RunSpec, kind: str, detail: dict[str, Any]) -> str:
    if kind == "fired":
        which = detail.get("intervention")
        if isinstance(which, int) and 0 <= which < len(spec.interventions):
            return spec.interventions[which].describe()
    if kind == "forked" and spec.fork is not None:
        return f"forked from {spec.fork.of[:8]}"
    if kind == "stopped":
        return f"stopped: {in_one_line(str(detail.get('reason', '')))}"
    return in_one_line(kind)


def summary(run: Watched, in_use: bool) -> dict[str, Any]:
    """A run in one row.

    left: seconds, at the present rate; took: seconds of the attempt at it that ended.
    """
    attempt, spec = run.attempt, run.spec
    status = run.status(in_use)
    rate = run.pace.rate if status == "running" else None
    steps = spec.steps if spec else None
    latest = run.at[run.last].values if run.last in run.at else [NAN] * len(CURVES)
    times = {name: getattr(run.milestones, name) for name in ("memorised", "onset", "grokked")}
    happened = [{"step": step, "text": text} for (step, _, _), text in sorted(run.events.items())]
    ended = attempt and attempt.status != "running" and attempt.ended
    return {
        "id": run.id,
        "arm": in_one_line(run.arm),
        "seed": _seed(run),
        "status": status,
        "message": in_one_line(attempt.message) if attempt else "",
        "began": attempt.began if attempt else None,
        "took": ended - attempt.began if attempt and ended else None,
        "step": run.reached,
        "steps": steps,
        "rate": _short(rate),
        "left": _short((steps - run.reached) / rate) if rate and steps else None,
        "may_stop": bool(spec and spec.stop),
        "forked": run.forked_at,
        "parent": spec.fork.of if spec and spec.fork else None,
        "latest": [_short(value) for value in latest],
        "milestones": times,
        "events": happened,
    }


def _seed(run: Watched) -> str:
    if run.spec is None:
        return f"seed {min(run.parts).seed}" if run.parts else ""
    seeds = run.spec.seeds
    more = "" if seeds.noise == seeds.model else f", noise seed {seeds.noise}"
    return f"seed {seeds.model}{more}"
