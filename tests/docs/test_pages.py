"""What the pages tell a reader to type runs: Python, spec files, and every command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import undergrowth as ug
from undergrowth.cli import app
from undergrowth.cli.own_parts import with_own_parts

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.glob("*.md"),
        *DOCS.glob("how-to/*.md"),
        *DOCS.glob("tutorial/*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "FINDINGS.md")),
    ]
)
NOTEBOOK = "file_format: mystnb"
HOW_TOS = sorted(page for page in DOCS.glob("how-to/*.md") if NOTEBOOK not in page.read_text())
"""Those that the site does not run when it is built."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    """Lines of blocks that call the command line, without what is said beside them."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if found := re.match(r"^!?(?:\.venv/bin/)?undergrowth ((?:(?!  ).)+)", line):
                yield re.split(r" # | > ", found[1])[
                    0
                ]  # without a comment, or the file that takes what it prints


COMMANDS = [(page, line) for page in PAGES for line in commands(page)]


def tokens(line: str) -> list[str]:
    """What would be typed: optional parts are given, and capitals stand for a value."""
    stands_for = {"N": "4", "BUDGET": "quick"}
    return [stands_for.get(word, word) for word in shlex.split(line.replace("[", "").replace("]", ""))]


@pytest.mark.parametrize(
    ("page", "line"), COMMANDS, ids=[f"{page.stem}: {line}" for page, line in COMMANDS]
)
def test_every_command_on_a_page_is_one_that_the_command_line_takes(page: Path, line: str) -> None:
    of_all, given, _ = app.meta.parse_args(tokens(line), exit_on_error=False, print_error=False)
    assert of_all is with_own_parts
    app.parse_args(given.args, exit_on_error=False, print_error=False)


def test_commands_are_found() -> None:
    assert len(COMMANDS) >= 25
    assert {page.name for page, _ in COMMANDS} >= {"README.md", "sweeps.md", "forks.md", "5-verdict.md"}


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_the_python_of_a_how_to_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(page, "python")
    assert code
    names: dict[str, object] = {}
    for block in code:
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_every_spec_on_a_how_to_is_possible(page: Path) -> None:
    for block in blocks(page, "toml"):
        assert ug.read_runs(block)


def test_the_two_ways_to_write_an_intervention_are_one_run() -> None:
    page = DOCS / "how-to" / "interventions.md"
    (in_toml,) = blocks(page, "toml")
    (from_file,) = ug.read_runs(in_toml)
    names: dict[str, object] = {}
    exec(blocks(page, "python")[0].split("store =")[0], names)
    assert names["spec"] == from_file


def test_what_is_not_run_says_so() -> None:
    for page in HOW_TOS:
        for block in blocks(page, "py"):
            assert block.startswith("# not run here: needs ")
