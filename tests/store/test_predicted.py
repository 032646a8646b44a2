"""Predictions in a store: stated once, dated, and read as they were written or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from undergrowth.store import StoreError
from undergrowth.store.layout import create
from undergrowth.store.predicted import state, stated
from undergrowth.store.verify import verify

NUMBERS = {"base": {"ratio": 16.0, "shares": [0.5, 0.9]}}


def test_predictions_are_stated_once_and_stay(tmp_path: Path) -> None:
    create(tmp_path)
    assert stated(tmp_path, "rivalry", "quick") is None
    first = state(tmp_path, "rivalry", "quick", NUMBERS, 100.0)
    assert first.numbers == NUMBERS
    assert first.stated == 100.0
    assert state(tmp_path, "rivalry", "quick", {"base": {"ratio": 1.0}}, 200.0) == first
    assert stated(tmp_path, "rivalry", "quick") == first
    assert stated(tmp_path, "rivalry", "standard") is None
    assert verify(tmp_path).damage == ()


@pytest.mark.parametrize("what", ["16.0", '"numbers"', "100.0"])
def test_what_is_not_as_it_was_written_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    create(tmp_path)
    state(tmp_path, "rivalry", "quick", NUMBERS, 100.0)
    path = tmp_path / "predicted" / "rivalry-quick.json"
    text = path.read_text()
    assert what in text
    for damaged in (text.replace(what, "17"), text[:40], "[]"):
        path.write_text(damaged)
        with pytest.raises(
            StoreError, match="is damaged: restore it from a copy, or remove it"
        ) as error:
            stated(tmp_path, "rivalry", "quick")
        assert "\n" not in str(error.value)
