"""How much is needed, from amounts that sufficed and amounts that did not."""

from __future__ import annotations

from hypothesis import given, strategies as st

from undergrowth.analysis import Needed, censored_proportion, needed, proportion

AMOUNTS = st.dictionaries(st.floats(0.01, 0.99), st.booleans(), min_size=1)


@given(AMOUNTS)
def test_all_that_was_tried_above_the_need_sufficed_and_its_lower_end_did_not(
    tried: dict[float, bool],
) -> None:
    found = needed(tried)
    assert all(sufficed for amount, sufficed in tried.items() if amount > found.low)
    assert found.low == 0 or not tried[found.low]
    assert found.high == 1 or tried[found.high]
    assert not any(found.low < amount < found.high for amount in tried)


def test_none_sufficing_lies_beyond_the_largest_and_all_below_the_smallest() -> None:
    assert needed({0.5: False, 0.7: False}) == Needed(0.7, 1.0, None)
    assert needed({0.5: True, 0.7: True}) == Needed(0.0, 0.5, 0.5)


def test_a_larger_amount_that_fails_after_a_smaller_sufficed_is_told() -> None:
    jumbled = needed({0.5: True, 0.7: False, 0.9: True})
    assert (jumbled.low, jumbled.high, jumbled.first) == (0.7, 0.9, 0.5)
    assert not jumbled.is_monotone
    assert needed({0.5: False, 0.7: True}).is_monotone
    assert needed({0.5: False}).is_monotone


def test_less_is_certain_where_intervals_are_apart_and_possible_where_they_are_not_the_other_way() -> (
    None
):
    low, middle, high = Needed(0.0, 0.5, 0.5), Needed(0.5, 0.7, 0.7), Needed(0.7, 1.0, None)
    assert low.is_less_than(middle) == (True, True)
    assert middle.is_less_than(middle) == (False, True)
    assert high.is_less_than(low) == (False, False)


def test_a_share_with_undecided_seeds_has_an_interval_that_holds_both_answers() -> None:
    certain, possible = [True, False, False], [True, True, False]
    found = censored_proportion(certain, possible)
    assert found.effect == 1 / 3
    assert (found.low, found.high) == (proportion(certain).low, proportion(possible).high)
