"""A short campaign of CSV texts; the long one is `python -m tests.campaigns.csvs`."""

from __future__ import annotations

from tests.campaigns.csvs import KINDS, campaign


def test_a_csv_is_refused_in_one_line_or_read_as_it_stands() -> None:
    tally, failures = campaign(300, seed=7)
    assert not failures, failures[0]
    for kind in KINDS:
        assert tally[f"{kind} refused"] > 10
        assert tally[f"{kind} read"] > 10
