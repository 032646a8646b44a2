"""A short campaign of damaged stores; the long one is `python -m tests.campaigns.stores`."""

from __future__ import annotations

import pytest

from tests.campaigns.stores import DAMAGES, campaign


def test_a_damaged_store_ends_no_command_in_disorder(capsys: pytest.CaptureFixture[str]) -> None:
    assert campaign(2 * len(DAMAGES), seed=1) == 0, capsys.readouterr().out
