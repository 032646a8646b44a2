"""A run that is killed at any moment and started again equals the uninterrupted one, bit for bit."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.sweep.test_packing import bits
from undergrowth.spec import RunSpec
from undergrowth.store import Store, verify
from undergrowth.store.layout import databases
from undergrowth.sweep import Layout, train

KILLS = 3
STEPS = 60_000  # long enough that the kills find it at work
EVERY = {"every": 600, "until": STEPS, "per_decade": 1}
SPEC = RunSpec.from_dict(
    {
        "task": {"name": "modular", "p": 11},
        "model": {"name": "two_token_mlp", "d_embed": 16, "d_mlp": 32},
        "batch": {"name": "mini", "batch_size": 24},
        "optimiser": {"name": "adamw", "lr": 0.003},
        "steps": STEPS,
        "measures": [{"name": "curves", "schedule": EVERY}],
        "checkpoints": {"every": 1_200, "until": STEPS, "per_decade": 1},
        "interventions": [
            {
                "trigger": {"name": "when_crosses", "reading": "train_accuracy", "level": 0.9},
                "action": {"name": "scale_learning_rate", "factor": 0.5},
            }
        ],
    }
)


def readings_in(root: Path) -> dict[tuple[str, int], bytes]:
    found = {}
    for database in databases(root):
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            for name, step, content in connection.execute("SELECT name, step, content FROM readings"):
                found[name, step] = content
        except sqlite3.OperationalError:  # killed before the tables were made
            pass
        finally:
            connection.close()
    return found


def start(spec_file: Path, root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "undergrowth.cli", "run", str(spec_file), "--out", str(root)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_a_reading_past(root: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(readings_in(root)) <= count and process.poll() is None:
        assert time.monotonic() < deadline, "no new reading within a minute"
        time.sleep(0.01)


def test_kills_lose_nothing_and_change_no_bit(tmp_path: Path) -> None:
    whole = train([SPEC], tmp_path / "whole", layout=Layout(workers=1)).runs[0]
    spec_file, root = tmp_path / "spec.toml", tmp_path / "killed"
    spec_file.write_text(SPEC.to_toml())
    rng = np.random.default_rng(0)
    stored: dict[tuple[str, int], bytes] = {}
    kills = 0
    for attempt in range(KILLS):
        process = start(spec_file, root)
        wait_for_a_reading_past(root, len(stored), process)
        time.sleep(rng.uniform(0, 0.15))
        if process.poll() is None:
            kills += 1
        if attempt % 2:
            os.killpg(process.pid, signal.SIGKILL)  # all at once, as a cluster does
        else:
            process.kill()  # the parent alone: its workers must follow it
        process.wait()
        now = readings_in(root)
        assert stored.items() <= now.items()
        stored = now
    assert kills == KILLS
    assert verify(root).damage == ()
    assert start(spec_file, root).wait() == 0
    assert verify(root).damage == ()
    assert stored.items() <= readings_in(root).items()
    (again,) = Store(root).runs
    assert again.status == "done"
    assert bits(again) == bits(whole)
    assert again.events.equals(whole.events)


def test_a_checkpoint_that_is_damaged_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    short = SPEC.replace(steps=4_800)
    whole = train([short], tmp_path / "whole", layout=Layout(workers=1)).runs[0]
    (database,) = databases(tmp_path / "whole")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE runs SET status = 'running'")
    connection.close()
    expected = bits(whole)
    last = whole.checkpoint_path(4_800)
    last.write_bytes(b"torn")
    train([short], tmp_path / "whole", layout=Layout(workers=1))
    assert bits(Store(tmp_path / "whole").runs[0]) == expected


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """What a shell starts in the background is told to ignore Ctrl-C, and so are its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_ctrl_c_says_so_in_one_line_and_the_run_can_go_on(tmp_path: Path) -> None:
    spec_file, root = tmp_path / "spec.toml", tmp_path / "store"
    spec_file.write_text(SPEC.to_toml())
    process = subprocess.Popen(
        [sys.executable, "-m", "undergrowth.cli", "run", str(spec_file), "--out", str(root)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    wait_for_a_reading_past(root, 4, process)  # type: ignore[arg-type]
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.count("\n") == 1
    assert "run the same command again" in said
    assert verify(root).damage == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    spec_file, disk = tmp_path / "spec.toml", tmp_path / "disk"
    spec_file.write_text(SPEC.to_toml())
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not let tests mount a file system")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "undergrowth.cli", "run", str(spec_file), "--out", f"{disk}/store"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "free some space and run the same command again" in done.stderr
        assert readings_in(disk / "store")
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        again = subprocess.run(
            [sys.executable, "-m", "undergrowth.cli", "run", str(spec_file), "--out", f"{disk}/store"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert again.returncode == 0, again.stderr
        assert verify(disk / "store").damage == ()
    finally:
        subprocess.run(["umount", str(disk)], check=False)
