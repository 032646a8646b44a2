"""Small stories: their own scenes on runs of a network that trains in a moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from undergrowth.explore.stories import STORIES
from undergrowth.explore.story import Story
from undergrowth.spec.file import read_file
from undergrowth.store import Store
from undergrowth.sweep import Layout, train

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
        (folder / f"{name}.toml").write_text(SMALL + RUNS[name], encoding="utf-8")
        found[name] = replace(story, specs=folder / f"{name}.toml")
    return found


@pytest.fixture(scope="session")
def store(stories: dict[str, Story], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The runs of both stories, and a second seed of their trunk."""
    root = tmp_path_factory.mktemp("explore") / "store"
    files = [read_file(story.specs_text) for story in stories.values()]
    names = {run_id: its for file in files for run_id, its in file.names.items()}
    specs = dict.fromkeys(spec for file in files for spec in file.runs)
    second = stories["race"].spec("true labels").seeded(1)
    train((*specs, second), root, layout=Layout(workers=1), names=names)
    return Store(root)


@pytest.fixture(scope="session")
def site(store: Store, stories: dict[str, Story], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of both stories."""
    from undergrowth.explore.page import write_story

    out = tmp_path_factory.mktemp("site")
    for story in stories.values():
        _, left_out = write_story(store, story, out)
        assert not left_out
    return out
