"""The order of the claims, by their ids: of its own, so that it is known without the analysis."""

from __future__ import annotations


def place_of_claim(claim: str) -> tuple[bool, int, str]:
    """The post's claims before the comments', by their numbers."""
    number = claim[1:]
    return not claim.startswith("P"), int(number) if number.isdigit() else 0, claim
