"""The published verdicts of a story's study."""

from __future__ import annotations

from undergrowth.explore.story import Story
from undergrowth.published.reading import Published, published, results, shipped


def verdicts_of(story: Story) -> Published | None:
    """What is published of the story's study; None where nothing is."""
    return results(story.study) if story.study in published(shipped()) else None


def publishing(story: Story) -> str:
    """The command that publishes the verdicts of a story's study."""
    train = f"undergrowth study run {story.study} --budget standard --out STORE"
    return f"{train} && undergrowth publish STORE"
