"""The stories that can be told, by name."""

from undergrowth.explore.stories import lr_boost, race, titration
from undergrowth.explore.story import Story

STORIES: dict[str, Story] = {
    story.name: story for story in (lr_boost.STORY, race.STORY, titration.STORY)
}

__all__ = ["STORIES"]
