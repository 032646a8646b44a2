"""Titration: reach as a dial, from weights that all examples share to weights of each one's own."""

from __future__ import annotations

from collections.abc import Iterator

from undergrowth.explore.cast import Cast
from undergrowth.explore.scenes.curves import curves
from undergrowth.explore.scenes.dial import UNDISTURBED, dial, doses_of
from undergrowth.explore.scenes.hypotheses import hypotheses
from undergrowth.explore.scenes.predict import predict
from undergrowth.explore.story import LeftOut, Scene, Story
from undergrowth.explore.verdicts import verdicts_of


def scenes(story: Story, cast: Cast) -> Iterator[Scene | LeftOut]:
    """The undisturbed run, the dial, and what all seeds say."""
    runs, published = doses_of(cast.store), verdicts_of(story)
    yield from curves(story, runs.get(UNDISTURBED, {}))
    yield from dial(story, runs)
    yield from predict(story, published, ("P18",))
    yield from hypotheses(story, published)


STORY = Story(
    name="titration",
    title="What if examples cannot share?",
    lead=(
        "A general circuit serves many examples, so many examples reinforce it. If that is why it wins, "
        "a network in which each example may change mostly weights of its own should generalise later. "
        "This page plays back stored runs in which that is a dial."
    ),
    study="titration",
    specs=None,
    scenes=scenes,
)
