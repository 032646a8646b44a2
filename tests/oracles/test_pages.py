"""What how-tos say of other libraries runs with them: the blocks that `make test` cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.test_pages import HOW_TOS, blocks

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries' own dependencies

PAGES = [page for page in HOW_TOS if blocks(page, "py")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_that_need_other_libraries_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After those that need none, whose names they use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, object] = {}
    for block in (*blocks(page, "python"), *blocks(page, "py")):
        exec(compile(block, page.name, "exec"), names)


def test_the_pages_are_found() -> None:
    assert {page.stem for page in PAGES} >= {"checkpoints", "exports"}
