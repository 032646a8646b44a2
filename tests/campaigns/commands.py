"""Commands killed at random moments, as users type them: what was stored stays, no process is left, and
the same command once more ends as if nothing had been.

    python -m tests.campaigns.commands --trials 250 --seed 0

In every other trial the command alone is killed and its workers must follow it; in the others all of its
processes are, at once, as a cluster does.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.command import parser, tell
from tests.campaigns.kills import compared, contents
from undergrowth.spec import RunSpec
from undergrowth.spec.file import SpecFile
from undergrowth.training.interventions import AtStep, Intervention, ScaleLearningRate

PATIENCE = 20.0
"""Seconds within which the workers of a killed command must be gone."""

EVERY = {"every": 100, "until": 3_000, "per_decade": 1}
TRUNK = RunSpec.from_dict(
    {
        "task": {"name": "modular", "p": 7},
        "model": {"name": "two_token_mlp", "d_embed": 8, "d_mlp": 16},
        "optimiser": {"name": "adamw", "lr": 0.003},
        "steps": 3_000,
        "measures": [{"name": "curves", "schedule": EVERY}],
        "checkpoints": EVERY,
    }
)
ARM = TRUNK.forked(
    AtStep(step=1_010), Intervention(trigger=AtStep(step=1_500), action=ScaleLearningRate(factor=3))
)


@dataclass(frozen=True)
class Command:
    """What is typed; the store that it finds and the one that it leaves; the seconds that it takes."""

    words: Sequence[str]
    before: Path | None
    after: Mapping[str, str]
    seconds: float


def campaign(n: int, seed: int) -> int:
    """Run it and tell; returns the exit code."""
    failures: list[str] = []
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="undergrowth-commands-") as folder:
        commands = _commands(Path(folder), n)
        for case in range(n):
            rng = random.Random(f"{seed} {case}")
            name = list(commands)[case % len(commands)]
            after = rng.uniform(0, 1.1 * commands[name].seconds)
            wrong, how = _tried(
                commands[name], Path(folder) / f"case-{case}", after, alone=case % 2 == 0
            )
            tally[f"{name} {how}"] += 1
            if wrong:
                failures.append(f"FAILED case {case}: {name} killed after {after:.2f} s: {wrong}")
                print(failures[-1], flush=True)
            if (case + 1) % 50 == 0:
                print(f"{case + 1} of {n} trials, {len(failures)} failures", flush=True)
    return tell("trials", seed, tally, failures)


def _commands(folder: Path, n: int) -> dict[str, Command]:
    """Each command that n trials take up, and what it leaves when nobody kills it."""
    trunk, both = folder / "trunk.toml", folder / "fork.toml"
    trunk.write_text(TRUNK.to_toml())
    both.write_text(SpecFile((TRUNK, ARM), ("trunk", "arm")).to_toml())
    trained, forked = folder / "trained", folder / "forked"
    words = {
        "run": ["run", str(trunk), "--out", "STORE"],
        "run a fork": ["run", str(both), "--out", "STORE"],
        "measure": ["measure", "STORE", "--measure", "saliency"],
        "report": ["report", "STORE"],
        "verify": ["verify", "STORE"],
        "replay": ["replay", "STORE", TRUNK.id],
    }
    found = {
        "run": _whole(words["run"], None, trained),
        "run a fork": _whole(words["run a fork"], trained, forked),
    }
    for name in ("measure", "report", "verify", "replay")[: max(0, n - len(found))]:
        found[name] = _whole(words[name], forked, folder / name)
    return found


def _whole(words: Sequence[str], before: Path | None, root: Path) -> Command:
    if before is not None:
        shutil.copytree(before, root)
    began = time.monotonic()
    done = _started(words, root).wait()
    seconds = time.monotonic() - began
    assert done == 0, f"{words} ended with {done}"
    return Command(words, before, contents(root), seconds)


def _started(words: Sequence[str], root: Path) -> subprocess.Popen[bytes]:
    typed = [str(root) if word == "STORE" else word for word in words]
    return subprocess.Popen(
        [sys.executable, "-m", "undergrowth.cli", *typed],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _tried(command: Command, place: Path, after: float, *, alone: bool) -> tuple[str, str]:
    """What is wrong after a trial, and whether the command was killed or had ended before."""
    root = place / "store"
    place.mkdir()
    if command.before is not None:
        shutil.copytree(command.before, root)
    process = _started(command.words, root)
    time.sleep(after)
    how = "killed" if process.poll() is None else "ended before"
    if how == "killed":
        process.kill() if alone else os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wrong = _those_left(process.pid) or _looked_at(command, root)
    shutil.rmtree(place)
    return wrong, how


def _those_left(group: int) -> str:
    """A process of a trial's group that is still there when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while left := [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_alive(pid, group)]:
        if time.monotonic() > deadline:
            return f"process {left[0]} is left behind"
        time.sleep(0.02)
    return ""


def _is_alive(pid: str, group: int) -> bool:
    """Whether a process of the group has a thread that is not at its end and so keeps files open."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False
    return any(_runs(thread, group) for thread in threads)


def _runs(thread: Path, group: int) -> bool:
    try:
        state, _, its_group = (thread / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:  # it has ended meanwhile
        return False
    return int(its_group) == group and state not in "ZX"


def _looked_at(command: Command, root: Path) -> str:
    def again() -> str:
        done = _started(command.words, root).wait()
        return f"the same command ended with {done}" if done else ""

    return compared(root, command.after, again)


def main(arguments: list[str]) -> int:
    """Parse the command line and run."""
    given = parser(__doc__, 250, "--trials").parse_args(arguments)
    return campaign(given.trials, given.seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
