"""Reading results that ship with the project: an answer in a second, without training.

JAX is imported only where runs are asked for as runs, and pandas where tables are.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undergrowth.claim_ids import place_of_claim
from undergrowth.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from undergrowth.published.runs import PublishedRun
    from undergrowth.spec import RunSpec
    from undergrowth.studies import Study, Table
    from undergrowth.studies.arm import Budget

SCHEMA = 1
ABOUT, ARMS, RUNS = "about.json", "arms.json", "runs.json"
CURVES, VALUES, VERDICTS = "curves.npz", "values.csv", "verdicts.json"
SEVERAL = "several"
"""A column of the values."""
NAMES_OF_VALUES = ("claim", "endpoint", "arm", "control", SEVERAL)
"""Columns of the values that are text."""
FILES = (ARMS, RUNS, CURVES, VALUES, VERDICTS)
"""What is beside `about.json`, which has the digest of each."""


class ResultsError(Exception):
    """Published results that cannot be read; one line with the value, the rule and the remedy."""


@dataclass(frozen=True, eq=False)
class Published:
    """The published results of one study.

    where: their directory; about: study, budget, seeds, date, commands, versions and hours (from start
    to end of each run, waits and pauses too, added up).
    """

    where: Path
    about: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Published({self.study}: {self.about['runs']} runs, {self.budget}, {self.about['date']})"

    @property
    def study(self) -> str:
        """The study's name."""
        return self.about["study"]

    @property
    def budget(self) -> Budget:
        """Of which budget its runs are."""
        return self.about["budget"]

    @property
    def in_words(self) -> str:
        """What was run, in one line."""
        seeds, hours = self.about["seeds"], self.about["hours"]
        return (
            f"{self.study}, budget {self.budget}: {self.about['runs']} runs of {len(seeds)} seeds "
            f"({seeds[0]} to {seeds[-1]}), {hours} hours in all from start to end of each, "
            f"{self.about['date']}"
        )

    @property
    def has_all_steps(self) -> bool:
        """Whether curves are there at every evaluation, and nothing else decides: then `table` gives the
        study's answer anew.
        """
        return self.about["most_steps"] is None and self.about["from_curves_alone"]

    @cached_property
    def verdicts(self) -> list[dict[str, Any]]:
        """One row per endpoint, as in a report's verdicts.json."""
        return json.loads(self._bytes(VERDICTS))["verdicts"]

    @cached_property
    def predictions(self) -> list[dict[str, Any]]:
        """What each hypothesis expected of an endpoint, and whether it was right."""
        return json.loads(self._bytes(VERDICTS))["predictions"]

    @cached_property
    def values(self) -> pd.DataFrame:
        """One row per endpoint, arm and seed: claim, endpoint, arm, control, seed, low and high, which
        are equal where the value is known, and `several`, the numbers that were pooled where a seed has
        more than one. A control that is not paired has rows of its own; of an endpoint over whole arms
        the rows have the numbers that its effect is computed from.
        """
        import pandas as pd

        found = pd.read_csv(
            io.BytesIO(self._bytes(VALUES)),
            keep_default_na=False,
            na_values={"low": ["nan"], "high": ["nan"]},
            dtype=dict.fromkeys(NAMES_OF_VALUES, str),  # an arm may be called "true", or "1"
        )
        cells = found[SEVERAL] if SEVERAL in found else [""] * len(found)
        found[SEVERAL] = [tuple(map(float, cell.split())) for cell in cells]
        return found

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its runs."""
        return tuple(told["id"] for told in self._accounts)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per run and step: run (id), arm, seed, step, and a column for each reading."""
        import numpy as np
        import pandas as pd

        from undergrowth.published.columns import columns_of

        columns = columns_of(self._bytes(CURVES))
        place = columns.pop("run")
        told = [(a["id"], a["parts"][0][0], a["parts"][0][2]) for a in self._accounts]
        ids, arms, seeds = (np.array(column)[place] for column in zip(*told, strict=True))
        return pd.DataFrame({"run": ids, "arm": arms, "seed": seeds, **columns})

    @property
    def arms(self) -> dict[str, RunSpec]:
        """The spec of each arm, of which its runs have other seeds."""
        from undergrowth.spec import RunSpec

        return {arm: RunSpec.from_dict(spec) for arm, spec in json.loads(self._bytes(ARMS)).items()}

    @cached_property
    def runs(self) -> tuple[PublishedRun, ...]:
        """The runs with specs, events and curves: figures and statistics take them."""
        from undergrowth.published.columns import from_columns
        from undergrowth.published.runs import from_account

        specs = self.arms
        curves = from_columns(self._bytes(CURVES))
        try:
            return tuple(
                from_account(told, specs[told["parts"][0][0]], its, self.study, self.budget)
                for told, its in zip(self._accounts, curves, strict=True)
            )
        except ValueError as error:
            raise ResultsError(
                f"{self.where / RUNS}: {error}: undergrowth {self.about['versions']['undergrowth']} "
                f"published it, this is {__version__}; its verdicts, values and curves can be read"
            ) from None

    def table(self, study: Study | None = None) -> Table:
        """The runs as the arms of their study; `study`: it itself where the package does not have it."""
        from undergrowth.studies.named import studies
        from undergrowth.studies.study import table_of

        runs = {run.id: run for run in self.runs}
        parts = {run.id: run.parts for run in self.runs}
        return table_of(study or studies()[self.study], runs, parts, {})

    @cached_property
    def _accounts(self) -> list[dict[str, Any]]:
        return json.loads(self._bytes(RUNS))

    def _bytes(self, name: str) -> bytes:
        """A file, held against its digest."""
        path = self.where / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ResultsError(f"{path}: {error.strerror}: {RESTORE}") from None
        if digest(data) != self.about["files"].get(name):
            raise ResultsError(f"{path}: its bytes are not those that were published: {RESTORE}")
        return data


def claims(where: str | Path | None = None) -> list[dict[str, Any]]:
    """One row per claim that has a primary among the published studies, in the order of their ids: what
    verdicts.json has of it, with p adjusted for how many of these have an answer (Holm).
    """
    from undergrowth.multiplicity import holm

    folder = shipped() if where is None else Path(where)
    primaries = [
        {**verdict, "budget": its.budget}
        for its in (results(study, folder) for study in published(folder))
        for verdict in its.verdicts
        if verdict["primary"]
    ]
    ps = {v["claim"]: v["p"] for v in primaries if v["ruling"] != "open" and v["p"] is not None}
    by_claim = holm(ps)
    found = [{**v, "p_adjusted": by_claim.get(v["claim"])} for v in primaries]
    return sorted(found, key=lambda v: place_of_claim(v["claim"]))


RESTORE = "take it from the repository again, or publish the store anew"


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of_about(about: Mapping[str, Any]) -> str:
    """Of all that `about.json` says but its own digest."""
    told = {key: value for key, value in about.items() if key != "digest"}
    return digest(json.dumps(told, sort_keys=True).encode())


def shipped() -> Path:
    """Where the results that came with the package lie: within it, or beside `src` in a checkout."""
    within = Path(__file__).parent / "shipped"
    return within if within.is_dir() else Path(__file__).parents[3] / "results"


def published(where: Path) -> tuple[str, ...]:
    """The names of the studies that have results in a directory."""
    return tuple(sorted(path.parent.name for path in where.glob(f"*/{ABOUT}")))


def results(study: str, where: str | Path | None = None) -> Published:
    """The published results of a study, by default those that came with the package.

    Raises ResultsError where there are none, where they are of a newer schema, or where a byte has
    changed.

    >>> results("lr-boost").study
    'lr-boost'
    """
    folder = shipped() if where is None else Path(where)
    path = folder / str(study) / ABOUT
    if not path.is_file():
        there = ", ".join(published(folder)) or "none"
        raise ResultsError(
            f"{str(study)!r} has no published results in {folder}: there are {there}; "
            f"`undergrowth study run {study}` runs a study, `undergrowth publish STORE` publishes it"
        )
    try:
        about = json.loads(path.read_bytes())
        schema = about["schema"]
    except (ValueError, KeyError, TypeError):
        raise ResultsError(f"{path}: it is no account of results: {RESTORE}") from None
    if schema != SCHEMA:
        raise ResultsError(
            f"{path}: its schema is {schema}, and undergrowth {__version__} reads {SCHEMA}: take a "
            "version of undergrowth that is as new as the results"
        )
    if about.get("digest") != digest_of_about(about):
        raise ResultsError(f"{path}: its bytes are not those that were published: {RESTORE}")
    return Published(path.parent, about)
