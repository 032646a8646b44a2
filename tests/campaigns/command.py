"""What the command lines of the campaigns have in common."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence


def parser(doc: str | None, n: int, cases: str = "--n") -> argparse.ArgumentParser:
    """Arguments of a campaign of `n` cases by default, and of a seed."""
    found = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    found.add_argument(cases, type=int, default=n)
    found.add_argument("--seed", type=int, default=0)
    return found


def tell(cases: str, seed: int, tally: Counter[str], failures: Sequence[str]) -> int:
    """Print what came out, every failure with its text; returns the exit code."""
    for failure in failures:
        print(failure, end="\n\n")
    print(f"{tally.total()} {cases}, seed {seed}: {dict(tally)}, {len(failures)} failures")
    return int(bool(failures))
