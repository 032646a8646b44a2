"""The articles that ship with the documentation: of the runs that their spec files train today."""

from __future__ import annotations

from pathlib import Path

import pytest

from undergrowth.explore.page import story_of
from undergrowth.explore.verdicts import verdicts_of
from undergrowth.spec.file import read_file

SHIPPED = Path(__file__).parents[2] / "docs" / "explorables"
PAGES = sorted(path.stem for path in SHIPPED.glob("*.html"))


def test_there_are_some() -> None:
    assert {"race", "lr-boost"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_an_article_shows_the_runs_that_its_story_trains_today(name: str) -> None:
    """A change that gives these runs other ids asks for the article to be written again."""
    story = story_of(name)
    html = (SHIPPED / f"{name}.html").read_text("utf-8")
    trunks = [spec for spec in read_file(story.specs_text).runs if spec.fork is None]
    assert trunks
    for spec in trunks:
        for seed in range(2):
            assert spec.seeded(seed).id in html
    assert f"undergrowth explore explored --story {name}" in html
    assert len(html) <= 5_000_000


@pytest.mark.parametrize("name", PAGES)
def test_an_article_tells_the_verdicts_that_are_published_now(name: str) -> None:
    told = verdicts_of(story_of(name))
    assert told is not None
    html = (SHIPPED / f"{name}.html").read_text("utf-8")
    assert f'content="{told.study} {told.about["digest"]}"' in html, (
        f"write it again: undergrowth explore explored --story {name} --out docs/explorables"
    )
