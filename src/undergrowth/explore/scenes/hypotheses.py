"""The table of hypotheses: what each expected, and how it came out."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from undergrowth.analysis.predictions import EXPECTS
from undergrowth.explore.story import LeftOut, Scene, Story, paragraph
from undergrowth.explore.verdicts import publishing
from undergrowth.published.reading import Published
from undergrowth.studies import STUDIES

TITLE = "Who was right"


def hypotheses(story: Story, its: Published | None) -> Iterator[Scene | LeftOut]:
    """Every prediction of the study's hypotheses beside the ruling of its endpoint."""
    if its is None or not its.predictions:
        yield LeftOut(
            TITLE,
            f"no verdicts of the study {story.study} have been published",
            publishing(story),
        )
        return
    says = STUDIES[story.study].hypotheses
    verdicts = {verdict["endpoint"]: verdict for verdict in its.verdicts}
    by_name: dict[str, list[dict[str, str]]] = {}
    for told in its.predictions:
        by_name.setdefault(told["hypothesis"], []).append(told)
    right = sum(told["score"] == "right" for told in its.predictions)
    wrong = sum(told["score"] == "wrong" for told in its.predictions)
    blocks = Markup("").join(
        Markup("<tr class=name><th colspan=3>{}<p class=soft>{}</p></th></tr>{}").format(
            name, says.get(name, ""), Markup("").join(_row(told, verdicts) for told in of_name)
        )
        for name, of_name in by_name.items()
    )
    yield Scene(
        "hypotheses",
        TITLE,
        (
            paragraph(
                "Each explanation of grokking was written down with what it expects before the runs "
                "were made. Of {} such predictions of this study {} came out right, {} wrong, and {} "
                "are open: the interval decides neither way, or the runs that would decide have not "
                "been made.",
                len(its.predictions),
                right,
                wrong,
                len(its.predictions) - right - wrong,
            ),
        ),
        "A table: for each explanation what it expects of which measure, and how that came out.",
        Markup(
            '<div class="wide"><table><thead><tr><th>measure</th><th>expected</th><th>came out</th></tr>'
            "</thead><tbody>{}</tbody></table></div>"
        ).format(blocks),
        notes=f"Published results of the study {story.study}, {its.about['date']}.",
    )


def _row(told: dict[str, str], verdicts: dict[str, dict]) -> Markup:
    verdict = verdicts[told["endpoint"]]
    came = verdict["says"] or "no value yet"
    return Markup(
        '<tr><td>{}: {}<br><span class="soft">{}</span></td><td>{}</td>'
        '<td>{}<br><span class="chip {}">{}</span></td></tr>'
    ).format(
        verdict["claim"],
        verdict["statistic"],
        verdict["arm"],
        EXPECTS[told["expects"]],
        came,
        told["score"],
        told["score"],
    )
