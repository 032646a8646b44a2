"""Predict first: the reader guesses, then the verdict opens with all seeds and its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from undergrowth.explore.story import LeftOut, Scene, Story, paragraph
from undergrowth.explore.verdicts import publishing
from undergrowth.published.reading import Published
from undergrowth.report.numbers import format_number
from undergrowth.studies import STUDIES

TITLE = "Guess first, then look"
LEFT, WIDE, LINE, HEIGHT = 40, 560, 120, 190
"""Of the picture of a verdict: where its axis begins, how long it is, how far down, and its height."""


def predict(story: Story, its: Published | None, claims: tuple[str, ...]) -> Iterator[Scene | LeftOut]:
    """A verdict for each claim that has one, closed until the reader opens it."""
    primaries = {v["claim"]: v for v in its.verdicts if v["primary"]} if its else {}
    told = [primaries[c] for c in claims if c in primaries and primaries[c]["effect"] is not None]
    if its is None or not told:
        yield LeftOut(
            TITLE,
            f"no verdicts of the study {story.study} have been published",
            publishing(story),
        )
        return
    says = {claim.id: claim.says for claim in STUDIES[story.study].claims}
    cards = Markup("").join(_card(v, says[v["claim"]], its.values) for v in told)
    about = its.about
    yield Scene(
        "predict",
        TITLE,
        (
            paragraph(
                "What you have seen so far is a few seeds at most. Set the slider to what you expect "
                "the mean of all seeds to be, and open the verdict. Which measure decides, and where "
                "the line is, was fixed before the runs."
            ),
            paragraph(
                "These are the published results of the study {}: {} runs of {} seeds at budget {}, {}. "
                "{}",
                story.study,
                about["runs"],
                len(about["seeds"]),
                about["budget"],
                about["date"],
                "Their setting is that of the post's commenters, larger than the network above."
                if about["budget"] == "full"
                else "The network is the one above.",
            ),
        ),
        "For each claim a question with a slider, and below it the verdict, which opens on demand.",
        cards,
        notes=f"Values of every seed: results/{story.study}/values.csv.",
    )


def _card(verdict: dict[str, Any], says: str, values: pd.DataFrame) -> Markup:
    mine = values[(values["endpoint"] == verdict["endpoint"]) & values["primary"]]
    columns = (mine[name].tolist() for name in ("seed", "low", "high"))
    seeds = [(int(seed), float(low), float(high)) for seed, low, high in zip(*columns, strict=True)]
    low, high = _range(verdict, seeds)
    middle = (low + high) / 2
    return Markup(
        '<section class="card" data-claim="{claim}"><h3>{claim}: {says}</h3>'
        '<p class="soft">Measured: {statistic}. {rule}</p>'
        '<label class="guess" hidden><span>Your guess <output>{shown}</output></span>'
        '<input type="range" min="{low:.6g}" max="{high:.6g}" step="{step:.3g}" value="{middle:.6g}" '
        'aria-label="Your guess for {claim}"></label>'
        "<details><summary>Open the verdict</summary>"
        '<p><strong class="chip {css}">{ruling}</strong> {effect}, {interval}, {n} seeds. {missing}</p>'
        "{picture}<p class=soft>{how}</p></details></section>"
    ).format(
        claim=verdict["claim"],
        says=says,
        statistic=verdict["statistic"],
        rule=verdict["rule"],
        shown=format_number(middle),
        low=low,
        high=high,
        step=(high - low) / 200,
        middle=middle,
        css=verdict["ruling"].replace(" ", "-"),
        ruling=verdict["ruling"],
        effect=verdict["says"] or format_number(verdict["effect"]),
        interval=_interval(verdict),
        n=verdict["n_seeds"],
        missing=_missing(verdict),
        picture=_picture(verdict, seeds, (low, high)),
        how=verdict["how"],
    )


def _missing(verdict: dict[str, Any]) -> str:
    """Which seeds have no value, and why."""
    told = [f"{n} {why}" for why, n in verdict["missing"].items()]
    return f"Seeds without a value: {', '.join(told)}." if told else ""


def _interval(verdict: dict[str, Any]) -> str:
    low, high = verdict["interval"]
    ends = ["no bound" if end is None else format_number(end) for end in (low, high)]
    return f"{verdict['level']:.0%} interval {ends[0]} to {ends[1]}"


def _range(verdict: dict[str, Any], seeds: list[tuple[int, float, float]]) -> tuple[float, float]:
    """An axis that does not give the answer away: shares have theirs from 0 to 1, all else is as far to
    the left of 0 as to the right, and holds the threshold, every seed and the interval.
    """
    ends = [*(v for _, low, high in seeds for v in (low, high)), *verdict["interval"], verdict["effect"]]
    known = [abs(float(v)) for v in (*ends, verdict["sesoi"]) if v is not None and math.isfinite(v)]
    if verdict["statistic"].startswith("share") and max(known) <= 1:
        return 0.0, 1.0
    power = 10.0 ** math.floor(math.log10(max(known)))
    most = next(m * power for m in (1, 1.5, 2, 3, 5, 7.5, 10) if m * power >= max(known))
    return -most, most


def _picture(
    verdict: dict[str, Any], seeds: list[tuple[int, float, float]], ends: tuple[float, float]
) -> Markup:
    """A dot a seed, the interval below, the threshold dashed; the guess is drawn by the script."""

    def along(value: float) -> float:
        return LEFT + WIDE * (min(max(value, ends[0]), ends[1]) - ends[0]) / (ends[1] - ends[0])

    parts = [f'<path d="M{LEFT} {LINE}h{WIDE}" stroke="var(--line)"/>']
    rows: dict[int, int] = {}
    for seed, low, high in seeds:
        place = along((low + high) / 2 if np.isfinite([low, high]).all() else low)
        row = rows[round(place / 10)] = rows.get(round(place / 10), -1) + 1
        value = format_number(low) if low == high else f"{format_number(low)} to {format_number(high)}"
        parts.append(
            f'<circle cx="{place:.1f}" cy="{LINE - 12 - 11 * row}" r="4.5" fill="var(--general)">'
            f"<title>seed {seed}: {value}</title></circle>"
        )
    threshold = along(verdict["sesoi"])
    parts.append(
        f'<path d="M{threshold:.1f} 20V{LINE + 34}" stroke="var(--soft)" stroke-dasharray="3 3"/>'
        f'<text x="{threshold:.1f}" y="14" text-anchor="middle">threshold {verdict["sesoi"]:.3g}</text>'
    )
    low, high = (e if v is None else v for v, e in zip(verdict["interval"], ends, strict=True))
    effect = along(verdict["effect"])
    parts.append(
        f'<path d="M{along(low):.1f} {LINE + 22}H{along(high):.1f}" class="interval"/>'
        f'<circle cx="{effect:.1f}" cy="{LINE + 22}" r="6" fill="var(--ink)"/>'
        f'<text x="{effect:.1f}" y="{LINE + 48}" text-anchor="middle">'
        f"{escape(format_number(verdict['effect']))}</text>"
    )
    parts.append(
        f'<path class="guessed" d="M{LEFT} 24v{LINE + 10}" stroke="var(--val)" stroke-width="2"/>'
    )
    return Markup(
        f'<svg viewBox="0 0 640 {HEIGHT}" data-left="{LEFT}" data-wide="{WIDE}" role="img" '
        f'aria-label="Values of all seeds, their interval and the threshold">{"".join(parts)}</svg>'
    )
