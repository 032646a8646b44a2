"""Small stories: their own scenes on runs of a network that trains in a moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from undergrowth.explore.scenes.dial import UNDISTURBED
from undergrowth.explore.stories import STORIES
from undergrowth.explore.story import Story
from undergrowth.measures import Curves, RoutedReach
from undergrowth.models import TwoTokenMLPSpec
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.spec.file import read_file
from undergrowth.store import Part, Store
from undergrowth.studies.titration import Dose
from undergrowth.sweep import Layout, train
from undergrowth.tasks import Modular
from undergrowth.training.optimisers import AdamW

SMALL = """
steps = 400
task = { name = "modular", operation = "x+y", p = 11 }
split = { name = "leaky_random", frac_train = 0.7 }
model = { name = "two_token_mlp", d_embed = 16, d_mlp = 24 }
optimiser = { name = "adamw", lr = 1e-2, weight_decay = 1.0 }
checkpoints = { every = 40, REST }
measures = [
  { name = "curves", schedule = { every = 5, REST } },
  { name = "table_map", schedule = { every = 10, REST } },
  { name = "fourier", exclude_each = false, mean_logits = true, schedule = { every = 10, REST } },
  { name = "ledger", per_example = true, schedule = { every = 40, REST } },
  { name = "deletion", n_nodes = 2, repeats = 2, ks = [0, 1, 4, 8], schedule = { every = 80, REST } },
]
""".replace("REST", "until = 400, per_decade = 1")
LEFT_OUT = {"titration": ["Guess first, then look"]}
"""Scenes for which nothing is there: its study asks nothing to be guessed, or nothing is published."""
RUNS = {
    "race": '[[runs]]\nname = "true labels"\n[[runs]]\nname = "shuffled labels"\nlabels = "shuffled"\n',
    "lr-boost": '[[runs]]\nname = "trunk"\n'
    + "".join(
        f"""
[[runs]]
name = "{name} at {where}"
fork = {{ of = "trunk", at = {{ name = "at_step", step = {step} }} }}
interventions = [{{ trigger = {{ name = "after_fork" }}, action = {action} }}]
checkpoints = {{ every = 400, until = 400, per_decade = 1 }}
measures = [
  {{ name = "curves", schedule = {{ every = 5, until = 400, per_decade = 1 }} }},
  {{ name = "table_map", schedule = {{ every = 10, until = 400, per_decade = 1 }} }},
]
"""
        for where, step in (("memorised", 100), ("onset", 200))
        for name, action in (
            ("no-op", '{ name = "no_op" }'),
            ("lr × 10", '{ name = "scale_learning_rate", factor = 10.0 }'),
        )
    ),
}


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    """The stories that there are, told of small networks."""
    folder = tmp_path_factory.mktemp("specs")
    found = {}
    for name, story in STORIES.items():
        if name not in RUNS:  # its runs are a study's
            found[name] = story
            continue
        (folder / f"{name}.toml").write_text(SMALL + RUNS[name], encoding="utf-8")
        found[name] = replace(story, specs=folder / f"{name}.toml")
    return found


@pytest.fixture(scope="session")
def store(stories: dict[str, Story], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The runs of both stories, and a second seed of their trunk."""
    root = tmp_path_factory.mktemp("explore") / "store"
    files = [read_file(story.specs_text) for name, story in stories.items() if name in RUNS]
    names = {run_id: its for file in files for run_id, its in file.names.items()}
    specs = dict.fromkeys(spec for file in files for spec in file.runs)
    second = stories["race"].spec("true labels").seeded(1)
    doses = titrated()
    parts = {
        spec.id: (Part("titration", "quick", arm.name, "control", seed),)
        for (arm, seed), spec in doses.items()
    }
    every = (*specs, second, *doses.values())
    train(every, root, layout=Layout(workers=1), names=names, parts=parts)
    return Store(root)


def titrated() -> dict[tuple[Dose, int], RunSpec]:
    """Small runs in the place of three arms of the study `titration`, by arm and seed."""
    often = Schedule(every=5, until=120, per_decade=1)
    seldom = Schedule(every=60, until=120, per_decade=1)
    measures = (Curves(schedule=often), RoutedReach(preconditioned=False, schedule=seldom))
    small = {"task": Modular(p=7), "model": TwoTokenMLPSpec(d_embed=8, d_mlp=12, act_fn="square")}
    return {
        (arm, seed): arm.arm.spec.seeded(seed).replace(
            **small, optimiser=AdamW(lr=1e-2), steps=120, measures=measures
        )
        for arm in (UNDISTURBED, UNDISTURBED.at(0.5), UNDISTURBED.at(0.5, "random"))
        for seed in (0, 1)
    }


@pytest.fixture(scope="session")
def site(store: Store, stories: dict[str, Story], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of all stories."""
    from undergrowth.explore.page import write_story

    out = tmp_path_factory.mktemp("site")
    for name, story in stories.items():
        _, left_out = write_story(store, story, out)
        assert [each.title for each in left_out] == LEFT_OUT.get(name, [])
    return out
