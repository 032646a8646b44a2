"""The race: how a network that memorised its training set comes to be carried by general circuits."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from undergrowth.explore.cast import Cast
from undergrowth.explore.scenes.curves import curves
from undergrowth.explore.scenes.deletion import deletion
from undergrowth.explore.scenes.hypotheses import hypotheses
from undergrowth.explore.scenes.predict import predict
from undergrowth.explore.scenes.pushes import pushes
from undergrowth.explore.scenes.race import race
from undergrowth.explore.scenes.table import table
from undergrowth.explore.scenes.waves import waves
from undergrowth.explore.story import LeftOut, Scene, Story
from undergrowth.explore.verdicts import verdicts_of


def scenes(story: Story, cast: Cast) -> Iterator[Scene | LeftOut]:
    """What is learned, by which neurons, who carries it, who pushes it, and what all seeds say."""
    runs, controls = cast.of(story.spec("true labels")), cast.of(story.spec("shuffled labels"))
    published = verdicts_of(story)
    yield from curves(story, runs)
    yield from table(story, runs)
    yield from waves(story, runs)
    yield from race(story, runs, controls)
    yield from pushes(story, runs)
    yield from deletion(story, runs)
    yield from predict(story, published, ("P10", "P11"))
    yield from hypotheses(story, published)


STORY = Story(
    name="race",
    title="Who carries the margin?",
    lead=(
        "A network can get a training example right in two ways: it can remember it, or it can have "
        "learned the rule. This page plays back stored runs and shows, update by update, which of the "
        "two carries each answer."
    ),
    study="ledger",
    specs=resources.files("undergrowth.explore.stories") / "race.toml",
    scenes=scenes,
)
