"""A short campaign of kills and full disks; the long one is `python -m tests.campaigns.kills`."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(shutil.which("cc") is None, reason="faults.c needs a C compiler")
def test_what_is_killed_anywhere_and_started_again_is_as_if_it_had_not_been() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.kills", "--trials", "4", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 trials, 0 failures" in done.stdout
