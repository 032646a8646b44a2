"""The page of a story: one self-contained HTML file that works offline."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from undergrowth.explore.arrays import packed
from undergrowth.explore.cast import Cast
from undergrowth.explore.stories import STORIES
from undergrowth.explore.story import ExploreError, LeftOut, Scene, Story
from undergrowth.explore.verdicts import verdicts_of
from undergrowth.plain_text import command
from undergrowth.report import theme
from undergrowth.store import Store
from undergrowth.store.files import write_whole
from undergrowth.version import __version__

DRAWING = ("core.js", "canvas.js", "cells.js")
"""What all scenes' drawings share, in the order in which they are read."""


def story_of(name: str) -> Story:
    """A story by its name; raises ExploreError with those that there are."""
    if name not in STORIES:
        raise ExploreError(f"--story {name!r}: no story has that name: take one of {', '.join(STORIES)}")
    return STORIES[name]


def write_story(store: Store, story: Story, out: Path) -> tuple[Path, list[LeftOut]]:
    """Write a story's page into a directory, or to an .html file; where it is, and what it leaves out.

    The same store gives the same bytes. Raises ExploreError where the store has no run of the
    story.
    """
    made = list(story.scenes(story, Cast(store)))
    if not any(isinstance(each, Scene) and each.arrays for each in made):
        raise ExploreError(
            f"{store.root} has no finished run of the story {story.name!r}: train its runs with "
            f"`{story.training_command(command(store.root))}`"
        )
    place = out if out.suffix == ".html" else out / f"{story.name}.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, rendered(story, store, made).encode(errors="backslashreplace"))
    return place, [each for each in made if isinstance(each, LeftOut)]


def rendered(story: Story, store: Store, made: list[Scene | LeftOut]) -> str:
    """The HTML of a story."""
    scenes = [each for each in made if isinstance(each, Scene)]
    told = verdicts_of(story)
    where = store.root.name or "STORE"
    names = dict.fromkeys(scene.name for scene in scenes if scene.arrays)
    drawing = [_asset(name) for name in DRAWING]
    drawing += [_asset(f"scenes/{name}.js") for name in (*names, "predict")]
    environment = Environment(
        loader=PackageLoader("undergrowth", "explore"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        story=story,
        scenes=[(scene, _data(scene), packed(scene.arrays)) for scene in scenes],
        left_out=[each for each in made if isinstance(each, LeftOut)],
        seeds=sorted({frames.seed for scene in scenes for frames in scene.arrays}),
        steps=_steps(scenes),
        where=where,
        told=told.about["digest"] if told else "",
        again=f"undergrowth explore {command(where)} --story {story.name}",
        training=story.training_command(command(where)),
        light=theme.PAPER["light"],
        dark=theme.PAPER["dark"],
        colours={"train": theme.SIDES["train"], "val": theme.SIDES["val"]}
        | {"general": theme.STRATEGIES["least"], "memorised": theme.STRATEGIES["top"]}
        | {"top": theme.STRATEGIES["top"], "random": theme.STRATEGIES["random"]}
        | {"least": theme.STRATEGIES["least"], "norm": theme.STRATEGIES["norm_matched"]}
        | {f"arm{i}": colour for i, colour in enumerate(theme.SERIES)},
        font=Markup(theme.FONT),
        style=_asset("page.css"),
        script=Markup("\n").join(drawing),
        version=__version__,
    )


def _data(scene: Scene) -> Markup:
    """What a drawing has to know besides the arrays, as JSON that no tag can end."""
    told = {"arrays": [frames.described() for frames in scene.arrays], **scene.fields}
    return _as_script(told)


def _as_script(value: Any) -> Markup:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _steps(scenes: list[Scene]) -> Markup:
    """All steps at which something is known: where the slider stops."""
    curves = next(scene for scene in scenes if scene.name == "curves")
    return _as_script(sorted({int(step) for frames in curves.arrays for step in frames.steps}))


def _asset(name: str) -> Markup:
    return Markup(resources.files("undergrowth.explore").joinpath(name).read_text("utf-8"))
