"""What a study is: a question, what each hypothesis predicts, the runs, and how they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from undergrowth.analysis import Verdict
from undergrowth.report.figure import Figure
from undergrowth.spec import RunSpec
from undergrowth.store import Run

Budget = Literal["quick", "standard", "full"]


@dataclass(frozen=True)
class Claim:
    """A claim of the post: its id in the project's list, and what it says."""

    id: str
    says: str


@dataclass(frozen=True)
class Answer:
    """What the stored runs say: verdicts and figures, in the order in which to read them."""

    verdicts: tuple[Verdict, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Study:
    """A question with everything stated before the runs.

    claims: what is tested; predictions: by rival hypothesis, what it expects and so what would refute
    it; runs: the specs for a budget and a number of seeds (None: the budget's own); answer: from the
    stored runs of those specs to verdicts and figures; needs: by the name of a reading that the answer
    rests on beside the curves, what `undergrowth measure --measure` takes to add it to a store; part:
    runs from which some of its claims can be answered by themselves.
    """

    name: str
    question: str
    claims: tuple[Claim, ...]
    predictions: Mapping[str, str]
    runs: Callable[[Budget, int | None], tuple[RunSpec, ...]]
    answer: Callable[[Sequence[Run]], Answer]
    needs: Mapping[str, str] = field(default_factory=dict)
    part: tuple[RunSpec, ...] = ()

    def lacks(self, runs: Sequence[Run]) -> dict[str, str]:
        """The readings that it needs and some of the runs have not, and what adds each."""
        return {
            reading: adds
            for reading, adds in self.needs.items()
            if not all(reading in run.names for run in runs)
        }
