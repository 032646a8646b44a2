"""One page a study, from the study itself and the results that ship with the project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builder.estimates import estimates_figure
from builder.plots import html_of
from builder.text import forget, plain, table, write
from undergrowth.analysis.predictions import EXPECTS
from undergrowth.analysis.verdicts import CLAIM_SEEDS
from undergrowth.claim_ids import place_of_claim
from undergrowth.published.hypotheses import rivals_in_words
from undergrowth.published.reading import Published, claims, published, results, shipped
from undergrowth.published.wording import bounds
from undergrowth.studies import STUDIES, Study
from undergrowth.studies.arm import BUDGETS

NOT_PUBLISHED = (
    "No results of this study are published yet. What it would answer with, and what each hypothesis "
    "expects, is stated below; the command at the end trains it."
)


def write_pages(folder: Path) -> None:
    """The page of each study, and one that lists the claims."""
    there = published(shipped())
    forget(folder, STUDIES)
    for name, study in STUDIES.items():
        write(folder / f"{name}.md", page_of(study, results(name) if name in there else None))
    write(folder / "index.md", index())


def index() -> str:
    """What is known of each claim, and where that is told."""
    found = {row["claim"]: row for row in claims()}
    asked = {
        claim.id: (claim.says, name) for name, study in STUDIES.items() for claim in study.claims
    } | {row["claim"]: (_says(row), row["study"]) for row in found.values()}
    toctree = "\n".join(f"{name} <{name}>" for name in STUDIES)
    rows = [
        (claim, plain(says), *_ruling(found.get(claim)), f"[`{study}`]({study}.md)")
        for claim, (says, study) in sorted(asked.items(), key=lambda item: place_of_claim(item[0]))
    ]
    return "\n\n".join(
        (
            "# Studies",
            plain(rivals_in_words()),
            "A study states its claims, the arms it trains and what each hypothesis predicts before "
            "anything runs. P is for the post, C for its comments. A claim takes 16 seeds; with fewer "
            "an answer is a demonstration.",
            table(("claim", "what it says", "ruling", "effect", "seeds", "study"), rows),
            f"```{{toctree}}\n:hidden:\n\n{toctree}\n```\n",
        )
    )


def _says(row: dict[str, Any]) -> str:
    return next(claim.says for claim in STUDIES[row["study"]].claims if claim.id == row["claim"])


def _ruling(row: dict[str, Any] | None) -> tuple[str, str, str]:
    if row is None:
        return "**open**: not published yet", "", ""
    if row["ruling"] == "open":
        return f"**open**: waits for {plain(row['waits_for'])}", "", ""
    few = "" if row["n_seeds"] >= CLAIM_SEEDS else " (demonstration)"
    return f"**{row['ruling']}**{few}", plain(row["says"]), str(row["n_seeds"])


def page_of(study: Study, its: Published | None) -> str:
    """Question, answer, predictions, arms, command."""
    return "\n\n".join(_parts(study, its)) + "\n"


def _parts(study: Study, its: Published | None) -> Iterator[str]:
    yield f"# {plain(study.question)}"
    yield f"Study `{study.name}`."
    if its is None:
        yield NOT_PUBLISHED
        yield "## Claims"
        yield "\n".join(f"* {claim.id}: {plain(claim.says)}" for claim in study.claims)
    else:
        yield from _answer(study, its)
    yield "## What each hypothesis predicts"
    yield "\n".join(f"* **{plain(name)}**: {plain(says)}" for name, says in study.hypotheses.items())
    yield _predictions(study, its)
    if its is not None:
        yield "## All endpoints"
        yield _endpoints(its)
    yield "## What is trained"
    yield from _arms(study)
    yield "## Run it"
    yield f"```\nundergrowth study run {study.name} --budget quick --out runs/{study.name}\n```"


def _answer(study: Study, its: Published) -> Iterator[str]:
    told = {verdict["claim"]: verdict for verdict in its.verdicts if verdict["primary"]}
    for claim in study.claims:
        answer = _in_words(told[claim.id]) if claim.id in told else "Another study decides it."
        yield f"* {claim.id}: {plain(claim.says)}<br>{answer}"
    if (figure := estimates_figure(its)) is not None:
        yield _raw(html_of(figure))
    if its.has_all_steps:
        for each in study.figures(its.table()):
            yield _raw(html_of(each))
    has = f'`ug.results("{study.name}")` has verdicts, values, curves and specs.'
    yield f"From {plain(its.in_words)}; {has}"


def _in_words(verdict: dict[str, Any]) -> str:
    ruling, effect, n = _ruling(verdict)
    if not n:
        return f"{ruling}."
    low, high = bounds(verdict)
    note = f" {plain(verdict['note'])}" if verdict["note"] else ""
    return f"{ruling}: {effect} (95 % interval {low} to {high}, {n} seeds).{note}"


def _raw(html: str) -> str:
    return f"```{{raw}} html\n{html}\n```"


def _predictions(study: Study, its: Published | None) -> str:
    if its is None:
        rows = [(plain(p.hypothesis), f"`{p.endpoint}`", EXPECTS[p.expects]) for p in study.predictions]
        return table(("hypothesis", "endpoint", "expects"), rows)
    rows = [
        (
            plain(p["hypothesis"]),
            f"`{p['endpoint']}`",
            EXPECTS[p["expects"]],
            f"{p['ruling']}: {p['score']}",
        )
        for p in its.predictions
    ]
    return table(("hypothesis", "endpoint", "expects", "came out"), rows)


def _endpoints(its: Published) -> str:
    rows = [
        (
            f"`{v['endpoint']}`" + (" (primary)" if v["primary"] else ""),
            v["claim"],
            f"{plain(v['statistic'])}: {plain(_arms_of(v))}",
            _ruling(v)[0],
            plain(v["says"]),
            " to ".join(bounds(v)),
            v["n_seeds"],
        )
        for v in its.verdicts
    ]
    head = ("endpoint", "claim", "what of which arm", "ruling", "effect", "95 % interval", "seeds")
    return _wide(table(head, rows))


def _arms_of(verdict: dict[str, Any]) -> str:
    against = verdict["control"]
    return verdict["arm"] + (f", against {against}" if against else "")


def _wide(text: str) -> str:
    """A table that scrolls sideways rather than break its words."""
    return f'<div class="wide">\n\n{text}\n\n</div>'


def _arms(study: Study) -> Iterator[str]:
    for budget in BUDGETS:
        planned = study.planned(budget)
        by_arm: dict[str, list[int]] = {}
        for each in planned:
            by_arm.setdefault(each.part.arm, []).append(each.spec.steps)
        roles = {each.part.arm: each.part.role for each in planned}
        rows = [(plain(arm), roles[arm], len(steps), f"{steps[0]:,}") for arm, steps in by_arm.items()]
        seeds = sorted({each.part.seed for each in planned})
        n = len({each.spec.id for each in planned})
        summary = f"{budget}: {n} runs, {len(rows)} arms, seeds {seeds[0]} to {seeds[-1]}"
        yield f"<details><summary>{summary}</summary>"
        yield table(("arm", "role", "seeds", "steps"), rows)
        yield "</details>"
