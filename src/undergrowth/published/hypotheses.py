"""The rival explanations held against the results that ship with the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from undergrowth.analysis.hypotheses import Expectation, Outcome, in_words
from undergrowth.analysis.verdicts import CLAIM_SEEDS
from undergrowth.published.reading import Published, published, results, shipped


def expectations(where: str | Path | None = None) -> list[Expectation]:
    """What each hypothesis of the published studies expected of an endpoint, and how it came out.

    where: the directory of results; by default those that came with the package.
    """
    folder = shipped() if where is None else Path(where)
    return [each for study in published(folder) for each in _of_study(results(study, folder))]


def rivals_in_words(where: str | Path | None = None) -> str:
    """What the published results say of the rivals, in a few sentences; empty without results."""
    return in_words(expectations(where))


def _of_study(its: Published) -> list[Expectation]:
    verdicts = {verdict["endpoint"]: verdict for verdict in its.verdicts}
    return [
        Expectation(
            told["hypothesis"], told["expects"], told["score"], _outcome(verdicts[told["endpoint"]])
        )
        for told in its.predictions
    ]


def _outcome(verdict: dict[str, Any]) -> Outcome:
    seeds = [n for n in (verdict["n_seeds"], verdict["n_control"]) if n is not None]
    return Outcome(
        verdict["claim"],
        verdict["study"],
        verdict["endpoint"],
        verdict["ruling"],
        f"{verdict['says']}, {verdict['n_seeds']} seeds" if verdict["n_seeds"] else "",
        min(seeds) >= CLAIM_SEEDS,
    )
