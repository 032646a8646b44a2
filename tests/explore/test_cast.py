"""A story finds its runs by what they were trained to be, not by what they were trained for."""

from __future__ import annotations

from pathlib import Path

from undergrowth.explore.cast import Cast, training
from undergrowth.explore.story import Story
from undergrowth.measures import Curves, Norms
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Store
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import AtStep

PLAIN = RunSpec.from_dict(
    {
        "task": {"name": "modular", "p": 5},
        "model": {"name": "two_token_mlp", "d_embed": 4, "d_mlp": 4},
        "steps": 8,
        "measures": [{"name": "curves", "schedule": {"every": 2, "until": 8, "per_decade": 1}}],
    }
)
WATCHED = PLAIN.replace(
    measures=(*PLAIN.measures, Norms()), checkpoints=Schedule(every=4, until=8, per_decade=1)
)


def test_what_is_measured_and_kept_is_not_training_and_all_else_is() -> None:
    assert training(PLAIN, {}) == training(WATCHED, {})
    seldom = PLAIN.replace(measures=(Curves(schedule=Schedule(every=4, until=8, per_decade=1)),))
    others = (PLAIN.seeded(1), PLAIN.replace(steps=9), PLAIN.replace(labels="shuffled"), seldom)
    assert len({training(spec, {}) for spec in (PLAIN, *others)}) == 5


def test_forks_of_equal_trunks_are_equal() -> None:
    forks = [trunk.forked(AtStep(step=4)).replace(measures=PLAIN.measures) for trunk in (PLAIN, WATCHED)]
    stored = {PLAIN.id: PLAIN, WATCHED.id: WATCHED}
    assert training(forks[0], stored) == training(forks[1], stored)
    assert training(forks[0], stored) != training(PLAIN.forked(AtStep(step=6)), stored)


def test_the_run_with_the_most_readings_stands_for_its_equals(tmp_path: Path) -> None:
    fork = PLAIN.forked(AtStep(step=4))
    train((PLAIN, WATCHED, fork, PLAIN.seeded(2)), tmp_path, layout=Layout(workers=1))
    cast = Cast(Store(tmp_path))
    found = cast.of(PLAIN)
    assert {seed: run.id for seed, run in found.items()} == {0: WATCHED.id, 2: PLAIN.seeded(2).id}
    assert [run.id for run in cast.forks(found[0])] == [fork.id]
    assert not cast.forks(found[2])


def test_the_specs_of_both_stories_share_their_trunk(stories: dict[str, Story]) -> None:
    from undergrowth.explore.stories import STORIES

    for told in (stories, STORIES):
        assert told["race"].spec("true labels").id == told["lr-boost"].spec("trunk").id


def test_a_trunk_is_that_of_the_study_of_the_same_name() -> None:
    from undergrowth.explore.stories import STORIES
    from undergrowth.studies.lr_boost.arms import SMALL_ADDITION

    assert training(STORIES["lr-boost"].spec("trunk"), {}) == training(SMALL_ADDITION, {})
