"""The answer in a paragraph: what was found, how the claims stand, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from undergrowth.analysis import Rules
from undergrowth.analysis.claims import Answered
from undergrowth.analysis.rulings import Ruling
from undergrowth.analysis.verdicts import CLAIM_SEEDS, Verdict
from undergrowth.claim_ids import place_of_claim
from undergrowth.report.front import Section, is_told, lines
from undergrowth.report.groups import RULES, alike, plural
from undergrowth.report.numbers import format_number
from undergrowth.report.summary import in_one_sentence
from undergrowth.store import Run

MOST_NAMED = 5
"""Claims that a sentence names; of more it says how many they are."""
RULED: Mapping[str, tuple[str, str]] = {
    "supported": ("is supported", "are supported"),
    "contradicted": ("is contradicted", "are contradicted"),
    "no effect": ("shows no effect", "show no effect"),
    "inconclusive": ("is undecided", "are undecided"),
}
HERE: dict[Ruling, str] = {
    "supported": "as claimed",
    "contradicted": "not as claimed",
    "no effect": "too small to matter",
    "inconclusive": "undecided",
}
"""What runs that cannot rule on a claim show of it, by the rule that would have ruled."""
SHOWN: Mapping[str, tuple[str, str]] = {
    "as claimed": ("comes out as claimed", "come out as claimed"),
    "not as claimed": ("does not", "do not"),
    "too small to matter": ("shows too little to matter", "show too little to matter"),
    "undecided": ("is undecided", "are undecided"),
}


def in_one_paragraph(sections: Sequence[Section], runs: Sequence[Run], rules: Rules = RULES) -> str:
    """What came out: of runs of one kind when they grokked, and how the claims stand."""
    found = [line.answer for line in lines(sections)]
    claims = how_claims_stand(found)
    if claims and len(alike(runs)) > 1:
        return claims
    return " ".join(part for part in (in_one_sentence(runs, rules), claims) if part)


def how_claims_stand(found: Sequence[Answered]) -> str:
    """Which came out how, the clearest of them in words; where none has a number, how many checks agree;
    empty where nothing has one.
    """
    ruled = [answer for answer in found if is_told(answer) and answer.ruling != "open"]
    shown = [answer for answer in found if is_told(answer) and answer.ruling == "open"]
    if not ruled and not shown:
        return " ".join(f"{answer.claim}: {answer.robustness}." for answer in found if answer.known)
    return " ".join(part for part in (_of_ruled(ruled), _of_shown(shown, bool(ruled))) if part)


def _of_ruled(ruled: Sequence[Answered]) -> str:
    if not ruled:
        return ""
    if len(ruled) == 1:
        return f"The post’s claim that {_in_words(ruled[0])}."
    head = f"Of the post’s claims, {len(ruled)} have a ruling: {_counted(_by(ruled, _ruling), RULED)}."
    clear = clearest(ruled)
    return f"{head} The clearest: {_in_words(clear)}." if clear else head


def _of_shown(shown: Sequence[Answered], is_more: bool) -> str:
    if not shown:
        return ""
    which = f"{len(shown)} more" if is_more else f"{len(shown)} of the post’s claims, listed below"
    return (
        f"Of {which}, these runs give a first look, not a ruling: {_counted(_by(shown, here), SHOWN)}."
    )


def _in_words(answer: Answered) -> str:
    """What a claim says, and its ruling with the effect."""
    assert answer.primary is not None
    effect = answer.primary.says or format_number(answer.primary.estimate.effect)
    return f"“{answer.says.rstrip('.')}” {RULED[answer.ruling][0]} ({effect})"


def _ruling(answer: Answered) -> str:
    return answer.ruling


def _counted(by_key: Mapping[str, Sequence[str]], said: Mapping[str, tuple[str, str]]) -> str:
    """How many came out how, and which these are unless they are many, in the order of `said`."""
    parts = []
    for key, words in said.items():
        if claims := by_key.get(key, ()):
            which = f" ({', '.join(claims)})" if len(claims) <= MOST_NAMED else ""
            parts.append(f"{len(claims)} {words[len(claims) > 1]}{which}")
    return _joined(parts)


def here(answer: Answered) -> str:
    """What these runs show of a claim that they cannot rule on; empty without a number."""
    if answer.primary is None or not is_told(answer):
        return ""
    return HERE[answer.primary.rule.ruling(answer.primary.estimate)]


def clearest(found: Sequence[Answered]) -> Answered | None:
    """The one to show first: decided, on seeds enough for a claim, by the least p; None without one."""
    decided = [a for a in found if a.primary and a.ruling not in ("open", "inconclusive")]
    return min(decided, key=_unclear, default=None)


def _unclear(answer: Answered) -> tuple[bool, float, tuple[bool, int, str]]:
    primary = answer.primary
    assert primary is not None
    p = primary.p if primary.p == primary.p else 1.0
    return not primary.is_claim, p, place_of_claim(answer.claim)


def how_sure(sections: Sequence[Section]) -> str:
    """On how many seeds it rests, and what is missing for a ruling; empty where nothing is claimed."""
    found = [line.answer for line in lines(sections)]
    told = [answer for answer in found if is_told(answer)]
    primaries = [answer.primary for answer in told if answer.primary is not None]
    ruled = [primary for primary in primaries if primary.ruling != "open"]
    if not primaries:
        return _of_checks([answer for answer in found if answer.known])
    if not ruled:
        return _of_stand_ins(primaries)
    few = [primary for primary in ruled if not primary.is_claim]
    if not few:
        return f"Each ruling rests on {CLAIM_SEEDS} seeds or more."
    if len(few) == len(ruled):
        return (
            f"All of it is a demonstration: {_seeds(few)} a claim, where one takes {CLAIM_SEEDS}. "
            "More seeds may well change it."
        )
    enough = len(ruled) - len(few)
    return (
        f"{enough} of the {len(ruled)} rulings {'rests' if enough == 1 else 'rest'} on {CLAIM_SEEDS} "
        f"seeds or more; {_joined([primary.claim for primary in few])} on fewer, as a demonstration."
    )


def _of_checks(checked: Sequence[Answered]) -> str:
    if not checked:
        return ""
    waits = "waits" if len(checked) == 1 else "wait"
    claims = _joined([answer.claim for answer in checked])
    return f"Checks, not a ruling: {claims} {waits} for {checked[0].waits_for}."


def _of_stand_ins(primaries: Sequence[Verdict]) -> str:
    few = [primary for primary in primaries if not primary.is_claim]
    reason = Counter(primary.waits_for for primary in primaries).most_common(1)[0][0]
    seeds = f"{_seeds(few)}, where a claim takes {CLAIM_SEEDS}; and " if few else ""
    head = "A demonstration, not a ruling" if few else "Not a ruling"
    return f"{head}: {seeds}the claims wait for {reason}."


def _seeds(primaries: Sequence[Verdict]) -> str:
    sizes = sorted({primary.estimate.n for primary in primaries})
    return plural(sizes[0], "seed") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} seeds"


def _by(found: Sequence[Answered], key: Callable[[Answered], str]) -> dict[str, list[str]]:
    """The claims by something of theirs."""
    by_key: dict[str, list[str]] = {}
    for answer in found:
        by_key.setdefault(key(answer), []).append(answer.claim)
    return by_key


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
