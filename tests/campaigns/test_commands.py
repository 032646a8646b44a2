"""A few commands killed at random moments; the long campaign is `python -m tests.campaigns.commands`."""

from __future__ import annotations

from tests.campaigns.commands import campaign


def test_a_command_killed_at_any_moment_and_typed_again_ends_as_if_it_had_not_been(capsys) -> None:
    assert campaign(2, seed=1) == 0, capsys.readouterr().out
