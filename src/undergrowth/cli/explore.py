"""`explore`: write an article that plays stored runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from undergrowth.cli.app import StoreName, WrongUseError, app
from undergrowth.printing import console


@app.command
def explore(
    directory: StoreName,
    /,
    *,
    story: Annotated[str, Parameter(help="Which story: lr-boost, race or titration.")],
    out: Annotated[
        Path, Parameter(help="Write STORY.html into this directory, or to this .html file.")
    ] = Path("site"),
    specs: Annotated[
        bool,
        Parameter(negative="", help="Print the spec file of the story's runs, for 'undergrowth run'."),
    ] = False,
) -> int:
    """Write an article in which a reader scrubs through stored runs: one page that works offline.

    Everything on it is generated from the store, which is only read, and from published verdicts. A
    scene for which the store has no numbers is left out, and the page says which command adds it.
    """
    from undergrowth.explore.page import story_of, write_story
    from undergrowth.explore.story import ExploreError
    from undergrowth.store import Store

    try:
        told = story_of(story)
        if specs:
            sys.stdout.write(told.specs_text)
            return 0
        place, left_out = write_story(Store(directory), told, out)
    except ExploreError as error:
        raise WrongUseError(str(error)) from None
    for each in left_out:
        console.print(f"left out: {each.title}: {each.why}", markup=False)
    console.print(f"{place}  {place.stat().st_size / 1e6:.1f} MB", markup=False)
    return 0
