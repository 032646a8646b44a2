"""A short campaign of mutated spec files; the long one is `python -m tests.campaigns.specs`."""

from __future__ import annotations

from tests.campaigns.specs import SEEDS, campaign
from undergrowth.spec import RunSpec


def test_what_is_mutated_was_valid() -> None:
    for fields in SEEDS:
        assert RunSpec.from_dict(fields).data().n_train > 0


def test_a_mutated_spec_is_refused_in_one_line_or_is_a_sound_run() -> None:
    tally, failures = campaign(300, seed=7, train_every=60)
    assert not failures, failures[0]
    assert tally["refused"] > 100
    assert tally["accepted"] > 30
