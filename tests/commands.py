"""A command of the command line, run in the process of a test."""

from __future__ import annotations

import pytest

from undergrowth.cli import main


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Its exit code, what it printed, and what it said was wrong."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    out, wrong = capsys.readouterr()
    return ended.value.code, out, wrong
