"""When a run memorised, began to generalise and grokked, kept up to date point by point."""

from __future__ import annotations

from dataclasses import dataclass

from undergrowth.store.events import DEFAULT_RULES, Rules


@dataclass
class Milestones:
    """The first steps of `store.events` so far, each None where it has not come yet.

    Points come in the order of their steps, train and validation accuracy of one step together, NaN
    where one was not evaluated. The onset counts only if it holds until the run groks, or to the end, so
    until then it may be taken back.
    """

    rules: Rules = DEFAULT_RULES
    memorised: int | None = None
    onset: int | None = None
    grokked: int | None = None
    _level: float | None = None
    _latest: tuple[int, float] | None = None

    def see(self, step: int, train: float, val: float) -> None:
        """Take in the accuracies at a step."""
        if self.memorised is None and train >= self.rules.memorised:
            self.memorised = step
        if val != val:
            return
        if self.grokked is None and val >= self.rules.grokked:
            self.grokked = step
        if self.memorised is not None and not self._grokked_before(step):
            if self._level is None:
                self._level = max(self._nearest(step, val), self.rules.leaked)
            is_above = val > self._level + self.rules.onset
            self.onset = (step if self.onset is None else self.onset) if is_above else None
        self._latest = step, val

    def _grokked_before(self, step: int) -> bool:
        """Whether it had, once it had memorised, before a step."""
        return self.grokked is not None and (self.memorised or 0) <= self.grokked < step

    def _nearest(self, step: int, val: float) -> float:
        """The validation accuracy nearest to when the run had memorised, the earlier of two as near."""
        assert self.memorised is not None
        if self._latest is None or step - self.memorised < self.memorised - self._latest[0]:
            return val
        return self._latest[1]
