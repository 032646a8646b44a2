"""The boosted learning rate: what happens when it is multiplied after memorisation."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from undergrowth.explore.cast import Cast
from undergrowth.explore.scenes.curves import curves
from undergrowth.explore.scenes.hypotheses import hypotheses
from undergrowth.explore.scenes.predict import predict
from undergrowth.explore.scenes.switch import arms_of, switch
from undergrowth.explore.scenes.table import table
from undergrowth.explore.scenes.waves import waves
from undergrowth.explore.story import LeftOut, Scene, Story
from undergrowth.explore.verdicts import verdicts_of


def scenes(story: Story, cast: Cast) -> Iterator[Scene | LeftOut]:
    """The plain run, what a boost does to it, in which cells, and what all seeds say."""
    runs = cast.of(story.spec("trunk"))
    arms, published = arms_of(cast, runs), verdicts_of(story)
    yield from curves(story, runs)
    yield from switch(story, runs, arms)
    yield from table(story, runs, arms)
    yield from waves(story, runs)
    yield from predict(story, published, ("C3", "C4", "C5", "C6", "C7"))
    yield from hypotheses(story, published)


STORY = Story(
    name="lr-boost",
    title="Can a larger learning rate hurry grokking?",
    lead=(
        "Once a network has memorised its training set, its gradients are tiny, and it takes long to "
        "generalise. So raise the learning rate, said the comments on Quintin Pope's post: by ten, or "
        "by a hundred. This page plays back stored runs that did."
    ),
    study="lr-boost",
    specs=resources.files("undergrowth.explore.stories") / "lr-boost.toml",
    scenes=scenes,
)
