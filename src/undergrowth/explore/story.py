"""What a story is made of: scenes with prose, arrays and a first picture; or why a scene is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any

from markupsafe import Markup

from undergrowth.explore.arrays import Frames
from undergrowth.explore.cast import Cast
from undergrowth.spec import RunSpec
from undergrowth.spec.file import read_file


class ExploreError(Exception):
    """A story that cannot be told from a store; one line with the value, the rule and the remedy."""


@dataclass(frozen=True)
class Beat:
    """A paragraph, and the state in which the picture is when it is in the middle of the screen.

    state: what it sets of step, arm, seed, neuron, example, group, k, axis, align, switch, order, dose
    and decay.
    """

    text: Markup
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture and its prose.

    name: of its drawing, `scenes/NAME.js`; title: what it shows; beats: its paragraphs; shows: what the
    picture is, for those who do not see it; still: the picture without script, SVG or HTML; arrays and
    fields: all that the drawing gets; notes: on the numbers, below the picture.
    """

    name: str
    title: str
    beats: tuple[Beat, ...]
    shows: str
    still: Markup
    arrays: tuple[Frames, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""

    @property
    def is_html(self) -> bool:
        """Whether it is all in its still, and nothing is to be drawn."""
        return not self.arrays

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the runs that its numbers are of."""
        return tuple(dict.fromkeys(frames.run for frames in self.arrays))


@dataclass(frozen=True)
class LeftOut:
    """A scene for which a store has no numbers, and the command that adds them."""

    title: str
    why: str
    command: str


Scenes = Callable[["Story", Cast], Iterator[Scene | LeftOut]]


@dataclass(frozen=True)
class Story:
    """An article: its scenes in order, and where the runs that it needs come from.

    name: of its page and its command; title: a question; lead: a paragraph; study: whose published
    verdicts it tells; specs: the spec file of its runs, None where they are those of the study at its
    quick budget.
    """

    name: str
    title: str
    lead: str
    study: str
    specs: Traversable | None
    scenes: Scenes

    @property
    def specs_text(self) -> str:
        """The spec file of its runs; raises ExploreError where it has none."""
        if self.specs is None:
            raise ExploreError(
                f"the story {self.name!r} has no spec file, for its runs are those of a study: train "
                f"them with `{self.training_command('STORE')}`"
            )
        return self.specs.read_text("utf-8")

    def spec(self, name: str) -> RunSpec:
        """The run of that name in its spec file, with all seeds 0."""
        file = read_file(self.specs_text)
        return file.runs[file.names_in_order.index(name)]

    def training_command(self, store: str) -> str:
        """What trains its runs into a store."""
        if self.specs is None:
            return f"undergrowth study run {self.study} --budget quick --out {store}"
        return (
            f"undergrowth explore {store} --story {self.name} --specs > {self.name}.toml && "
            f"undergrowth run {self.name}.toml --seeds 2 --out {store}"
        )


def percent(value: float, digits: int = 0) -> str:
    """A share in running text, with a space that does not break.

    >>> percent(0.5)
    '50\\xa0%'
    """
    return f"{100 * value:.{digits}f}\u00a0%"


def sets(words: str, **state: Any) -> Markup:
    """Words in the text that set the state when they are pressed."""
    return Markup('<button type="button" class="sets" data-sets="{}">{}</button>').format(
        json.dumps(state, sort_keys=True), words
    )


def paragraph(text: str, /, *words: Any, **state: Any) -> Beat:
    """A paragraph, with words in the place of each `{}`, and the state that it sets."""
    return Beat(Markup(text).format(*words), state)
