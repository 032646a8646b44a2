"""Writing results that ship with the project: what a study's runs say, and enough of them to see it."""

from __future__ import annotations

import datetime
import importlib.metadata
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from undergrowth.analysis.verdicts import Given, Several, Verdict, Verdicts
from undergrowth.plain_text import json_text
from undergrowth.published.columns import as_columns, readings_of
from undergrowth.published.reading import (
    ABOUT,
    ARMS,
    CURVES,
    RUNS,
    SCHEMA,
    SEVERAL,
    VALUES,
    VERDICTS,
    Published,
    ResultsError,
    digest_of_about,
    published,
    results,
    shipped,
)
from undergrowth.published.runs import PublishedRun, account
from undergrowth.store import Part, Run, Store
from undergrowth.store.files import write_whole
from undergrowth.store.listing import damage
from undergrowth.store.parts import Parts, parts_of
from undergrowth.store.predicted import Predicted
from undergrowth.studies import Answer, Study, Table
from undergrowth.studies.arm import Budget
from undergrowth.studies.conducting import SCHEMA as VERDICTS_SCHEMA
from undergrowth.studies.named import studies
from undergrowth.studies.study import table_of
from undergrowth.studies.table import NOT_THERE, Carried

MOST_BYTES = 990_000
"""Of all files of a study: what ships stays small."""
THINNED = (None, 400, 300, 200, 150, 100, 70, 50, 30)
"""Steps of each run that are kept: all, or as many as fit."""
RECORDED = ("undergrowth", "jax", "jaxlib", "numpy", "optax")


def publish(
    store: Store, study: str | Study, given: Sequence[str] = (), into: str | Path | None = None
) -> Published:
    """Write the results of a study's runs in a store; those of `into`, by default the package's own.

    given: the commands that trained it. Runs that are published already and are not in the store stay
    among them, where they are of the same budget: seeds may be trained one after the other, in several
    stores. Where more than curves decides, what each seed gave stays as it was, of each endpoint that is
    still measured the same way, seed by seed; one that is over all runs of an arm is of those in the
    store. Raises ResultsError where no run of the study has ended.
    """
    study, folder, before = _placed(study, into)
    kept = before if before and before.has_all_steps else None  # its runs can stand beside others
    table, parts = _together(study, store, kept)
    beside = _beside(before, table) if before and not kept else []
    if before and beside:
        table = replace(table, carried=_carried(before, table, study))
    ids = {run.id for run in (*table.all, *beside)}
    commands = before.about["commands"] if before and set(before.ids) <= ids else ()
    parts = {**{run.id: run.parts for run in beside}, **parts}
    return _written(study, folder, table, parts, (*commands, *given), beside)


def _beside(before: Published, table: Table) -> list[Run]:
    """The runs published before whose values can stand beside those of a table: of its budget and arms
    as they are now, at all steps, and not in it.
    """
    if before.budget != table.budget or before.about["most_steps"] is not None:
        return []
    there, arms = {run.id for run in table.all}, before.arms
    same = {name for name, arm in table.arms.items() if arms.get(name) == arm.spec}
    return [
        run for run in before.runs if run.id not in there and {part.arm for part in run.parts} <= same
    ]


def _carried(before: Published, table: Table, study: Study) -> Carried:
    """What was found of published runs that are not in a table."""
    of_seeds = [each for each in study.endpoints(table.budget) if each.measured is None]
    how = {endpoint.name: endpoint.statistic.how for endpoint in of_seeds}
    same = {row["endpoint"] for row in before.verdicts if how.get(row["endpoint"]) == row["how"]}
    there = {(arm, seed) for arm, by_seed in table.runs.items() for seed in by_seed}
    values: dict[tuple[str, str, int], Given] = {}
    columns = (before.values[name] for name in ("endpoint", "arm", "seed", "low", "high", SEVERAL))
    for endpoint, arm, seed, low, high, several in zip(*columns, strict=True):
        if endpoint in same and (arm, seed) not in there:
            bounds = low if low == high else (low, high)
            values[endpoint, arm, int(seed)] = Several(several) if several else bounds
    is_apart = not set(before.ids) & {run.id for run in table.all}
    missing = {
        row["endpoint"]: {why: n for why, n in row["missing"].items() if why != NOT_THERE}
        for row in before.verdicts
        if row["endpoint"] in same and is_apart
    }
    return Carried(values, missing)


def answer_anew(study: str | Study, into: str | Path | None = None) -> Published:
    """Answer a study from its published curves, by the rules of now, and write that in their place.

    Runs that other studies have published and that this one would train as well, of whatever seed, are
    its runs too. Raises ResultsError where there are no results, or where more than curves at every
    evaluation decides.
    """
    study, folder, before = _placed(study, into)
    if before is None or not before.has_all_steps:
        lack = "there are no results" if before is None else "more decides than the published curves"
        raise ResultsError(f"{folder}: {lack}: publish the store in which the runs were trained")
    others = [
        each
        for each in map(partial(results, where=folder.parent), published(folder.parent))
        if each.study != study.name and each.about["most_steps"] is None
    ]
    runs: dict[str, Run] = {run.id: run for run in before.runs}
    commands = list(before.about["commands"])
    for other in others:
        found = _of_this_too(other, study, before.budget)
        commands += other.about["commands"] if found.keys() - runs else ()
        runs = {**found, **runs}
    parts = {run.id: run.parts for run in runs.values()}
    return _written(study, folder, table_of(study, runs, parts, {}), parts, commands, ())


def _of_this_too(other: Published, study: Study, budget: Budget) -> dict[str, PublishedRun]:
    """Runs of another study's results that are a study's as well, as its own: an id is of all that a run
    is.
    """
    planned = {each.spec.id: each.part for each in study.planned(budget, other.about["seeds"])}
    runs = other.runs if planned.keys() & set(other.ids) else ()
    return {run.id: run.played_as(planned[run.id]) for run in runs if run.id in planned}


def _written(
    study: Study,
    folder: Path,
    table: Table,
    parts: Parts,
    commands: Sequence[str],
    beside: Sequence[Run],
) -> Published:
    answer = study.answer(table)
    if beside:
        answer = _of_fewer_seeds(answer, table)
    runs = list(dict.fromkeys((*table.all, *beside)))
    contents = {
        ARMS: _lines({name: arm.spec.model_dump(mode="json") for name, arm in table.arms.items()}),
        RUNS: _lines([account(run, _in_study(parts[run.id], table)) for run in runs]),
        VALUES: _values(answer.verdicts).encode(),
        VERDICTS: _verdicts(answer),
    }
    about = {**_about(table, runs, parts), "commands": list(dict.fromkeys(commands))}
    room = MOST_BYTES - sum(map(len, (*contents.values(), _text(about))))
    contents[CURVES], most_steps = _curves(runs, room)
    about |= {
        "most_steps": most_steps,
        "from_curves_alone": not (study.needs or beside),
        "files": {name: write_whole(folder / name, content) for name, content in contents.items()},
    }
    its = _described(folder, about)
    if its.has_all_steps and not _says_the_same(study, its, answer):
        its = _described(folder, {**about, "from_curves_alone": False})
    return its


def _of_fewer_seeds(answer: Answer, table: Table) -> Answer:
    """What is noted beside a ruling is of a table's runs alone, where its values are of more seeds."""
    seeds = sorted({seed for by_seed in table.runs.values() for seed in by_seed})
    of = f"Of seeds {', '.join(map(str, seeds))}: "
    noted = (replace(each, note=each.note and of + each.note) for each in answer.verdicts)
    return replace(answer, verdicts=Verdicts(noted))


def _described(folder: Path, about: Mapping[str, Any]) -> Published:
    """What is in a directory, with what is said about it."""
    write_whole(folder / ABOUT, _text({**about, "digest": digest_of_about(about)}))
    return results(folder.name, folder.parent)


def _says_the_same(study: Study, its: Published, answer: Answer) -> bool:
    """Whether the published runs, which have no checkpoints, give the study's answer again."""
    try:
        again = study.answer(its.table(study))
    except LookupError:
        return False
    return _verdicts(_of_what_is_there(again)) == _verdicts(_of_what_is_there(answer))


def _of_what_is_there(answer: Answer) -> Answer:
    """Without how many runs were planned and not trained, of which published runs do not tell."""

    def of(verdict: Verdict) -> Verdict:
        missing = {why: n for why, n in verdict.missing.items() if why != NOT_THERE}
        return replace(verdict, missing=missing)

    return replace(answer, verdicts=Verdicts(map(of, answer.verdicts)))


def _placed(study: str | Study, into: str | Path | None) -> tuple[Study, Path, Published | None]:
    """A study, the directory of its results, and what is there already."""
    study = studies()[study] if isinstance(study, str) else study
    folder = (shipped() if into is None else Path(into)) / study.name
    return study, folder, results(study.name, folder.parent) if (folder / ABOUT).exists() else None


def _together(study: Study, store: Store, kept: Published | None) -> tuple[Table, Parts]:
    """The table of a study with the runs of a store and those published before, and all their parts."""
    parts = _played(study, store)
    runs: dict[str, Run] = {run.id: run for run in store.runs}
    damaged = {run.id: why for run in runs.values() if (why := damage(run))}
    budgets = {part.budget for its in parts.values() for part in its if part.study == study.name}
    for run in kept.runs if kept and kept.budget in budgets else ():
        if run.id not in runs or not runs[run.id].has_ended:
            runs[run.id], parts[run.id] = run, (*parts.get(run.id, ()), *run.parts)
    try:
        return table_of(study, runs, parts, damaged, store.root), parts
    except LookupError as error:
        raise ResultsError(
            f"{store.root}: {error}: `undergrowth study run {study.name} --out {store.root}` trains them"
        ) from None


def _played(study: Study, store: Store) -> dict[str, tuple[Part, ...]]:
    """By run id the parts that a store tells of, and those that runs trained for other studies play in
    this one: an id is of all that a run is.
    """
    found = dict(parts_of(store.root))
    seeds: dict[Budget, set[int]] = {}
    for part in (part for its in found.values() for part in its):
        if part.budget in get_args(Budget):
            seeds.setdefault(part.budget, set()).add(part.seed)  # pyright: ignore[reportArgumentType]
    for budget, among in seeds.items():
        for each in study.planned(budget, sorted(among)):
            if each.spec.id in found:
                found[each.spec.id] = tuple(sorted({*found[each.spec.id], each.part}))
    return found


def _in_study(parts: Sequence[Part], table: Table) -> list[Part]:
    """Those that a run plays in a table's study and budget, each once."""
    return [
        part
        for part in sorted(set(parts))
        if (part.study, part.budget) == (table.study, table.budget) and part.arm in table.arms
    ]


def _verdicts(answer: Answer) -> bytes:
    return _text(
        {
            "schema": VERDICTS_SCHEMA,
            "verdicts": [verdict.to_dict() for verdict in answer.verdicts],
            "predictions": [score.to_dict() for score in answer.scores],
        }
    )


def _curves(runs: Sequence[Run], room: int) -> tuple[bytes, int | None]:
    """All curves at every step, or at so many that they fit in so many bytes."""
    names, data, most = readings_of(runs), b"", None
    for most in THINNED:
        data = as_columns(runs, names, most)
        if len(data) <= room:
            break
    return data, most


def _values(verdicts: Sequence[Verdict]) -> str:
    import pandas as pd

    rows = [
        (
            *(v.claim, v.endpoint, v.is_primary, arm, v.control or "", seed),
            *(*_bounds(value), _several(v, arm, seed)),
        )
        for v in verdicts
        for arm, by_seed in ((v.arm, v.values), *v.by_arm.items())
        for seed, value in by_seed.items()
    ]
    columns = ["claim", "endpoint", "primary", "arm", "control", "seed", "low", "high", SEVERAL]
    found = pd.DataFrame(rows, columns=columns)
    if not any(verdict.several for verdict in verdicts):
        found = found.drop(columns=SEVERAL)
    out = io.StringIO()
    found.to_csv(out, index=False, float_format="%.7g", na_rep="nan")
    return out.getvalue()


def _several(verdict: Verdict, arm: str, seed: int) -> str:
    """What was pooled of a seed, in a cell."""
    its = verdict.several.get(seed) if arm == verdict.arm else None
    return "" if its is None else " ".join(f"{number:.7g}" for number in its.numbers)


def _bounds(value: float | bool | tuple[float, float]) -> tuple[float, float]:
    low, high = value if isinstance(value, tuple) else (value, value)
    return float(low), float(high)


def _about(table: Table, runs: Sequence[Run], parts: Parts) -> dict[str, Any]:
    seeds = sorted({part.seed for run in runs for part in _in_study(parts[run.id], table)})
    seconds = sum((run.ended or run.began) - run.began for run in runs)
    return {
        "schema": SCHEMA,
        "study": table.study,
        "budget": table.budget,
        "runs": len(runs),
        "seeds": seeds,
        "hours": round(seconds / 3600, 2),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {name: importlib.metadata.version(name) for name in RECORDED},
        **({"predicted": _told(table.predicted)} if table.predicted else {}),
    }


def _told(predicted: Predicted) -> dict[str, Any]:
    """What was predicted, to five digits; the store has all of them."""
    return {"stated": predicted.stated, "numbers": _rounded(predicted.numbers)}


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _text(value: object) -> bytes:
    return (json_text(value) + "\n").encode()


def _lines(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """JSON with one entry per line, so that a change shows as the lines that it changed."""
    if isinstance(value, Mapping):
        entries = [f"{json.dumps(key)}: {_compact(item)}" for key, item in value.items()]
        return ("{\n" + ",\n".join(entries) + "\n}\n").encode()
    return ("[\n" + ",\n".join(map(_compact, value)) + "\n]\n").encode()


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
