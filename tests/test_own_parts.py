"""Parts of one's own, by name: from a file, a folder or an installed package, trained by workers."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import undergrowth as ug
from tests import tiny
from tests.commands import ran
from undergrowth import kinds, own_parts
from undergrowth.cli import main
from undergrowth.live import snapshot
from undergrowth.models import state_dict
from undergrowth.spec import SpecError
from undergrowth.store import Run, Store
from undergrowth.training.interventions.lasting import asked
from undergrowth.training.state import TrainState

PARTS = Path(__file__).parent.parent / "docs" / "how-to" / "parts"
"""The example files of the page on parts of one's own."""
FILES = ("task", "split", "model", "optimiser", "batch", "measure", "intervention")
KINDS = ("task", "split", "model", "optimiser", "batch", "measure", "intervention")

SPEC = """
steps = 12
checkpoints = { every = 1, until = 12 }

[task]
operation = "x+y"
p = 7

[model]
name = "two_token_mlp"
d_embed = 4
d_mlp = 8

[optimiser]
name = "sgd"
lr = 0.5
warmup_steps = 0

[[measures]]
name = "curves"
schedule = { every = 1, until = 12 }

[[runs]]
name = "task"
task = { name = "largest", n = 6 }

[[runs]]
name = "split"
split = { name = "held_out_rows", frac_train = 0.5 }

[[runs]]
name = "model"
model = { name = "bilinear", d_mlp = 5 }

[[runs]]
name = "optimiser"
optimiser = { name = "lion", lr = 0.01, warmup_steps = 0 }

[[runs]]
name = "batch"
batch = { name = "in_order", batch_size = 8 }

[[runs]]
name = "measure"
measures = [
    { name = "curves", schedule = { every = 1, until = 12 } },
    { name = "activity", schedule = { every = 4, until = 12 } },
]

[[runs]]
name = "intervention"

[[runs.interventions]]
trigger = { name = "when_gap", gap = 0.05 }
action = { name = "clip_gradient", norm = 0.01 }
"""


def forget() -> None:
    """Put this process where it was before anything was in use."""
    added = [kind for source in own_parts.sources() for kind in source.adds]
    kinds.change(added, ())
    for source in own_parts.sources():
        sys.modules.pop(source.module.__name__, None)
    own_parts._HERE.sources.clear()
    own_parts._HERE.entry_points_are = False


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Every test begins and ends with the package's parts alone."""
    forget()
    yield
    forget()


class Said:
    """What a command printed and how it ended."""

    def __init__(self, code: object, out: str, wrong: str) -> None:
        self.code, self.out, self.wrong = code, out, wrong

    @property
    def line(self) -> str:
        """The one line that it said was wrong."""
        assert self.wrong.count("\n") == 1, self.wrong
        return self.wrong.strip()


Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process, as if it were a new one."""

    def run(*arguments: object) -> Said:
        forget()
        return Said(*ran(capsys, *arguments))

    return run


def largest(**fields: int) -> Any:
    """A run of the task of the page, from plain data."""
    return ug.RunSpec.from_dict({"task": {"name": "largest", **fields}})


def with_(*names: str) -> list[object]:
    return [word for name in names for word in ("--with", PARTS / f"{name}.py")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one run for each kind of part, trained by the workers of this machine."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "spec.toml").write_text(SPEC)
    with pytest.raises(SystemExit) as ended:
        main(["run", f"{folder}/spec.toml", "--out", f"{folder}/store", *map(str, with_(*FILES))])
    forget()
    assert ended.value.code == 0
    return folder / "store"


def run_of(root: Path, name: str) -> Run:
    """The run of that name, with all files in use."""
    for each in FILES:
        ug.use(PARTS / f"{each}.py")
    (run,) = [run for run in Store(root).runs if run.given_names == (name,)]
    return run


def weights(run: Run, step: int) -> dict[str, np.ndarray]:
    return {n: np.asarray(w, np.float64) for n, w in state_dict(run.model(step)).items()}


def moved(run: Run, step: int) -> np.ndarray:
    """By how much every weight changed in the update from a step on."""
    before, after = weights(run, step), weights(run, step + 1)
    return np.concatenate([(after[n] - before[n]).ravel() for n in before])


def test_every_run_was_trained_by_a_worker_and_is_whole(root: Path, say: Say) -> None:
    said = say("verify", root, *with_(*FILES))
    assert said.code == 0
    assert said.out.startswith(f"{len(KINDS)} runs, ")
    assert {run_of(root, name).status for name in KINDS} == {"done"}


def test_a_task_has_its_own_labels(root: Path) -> None:
    data = run_of(root, "task").spec.data()
    assert np.array_equal(data.labels, data.inputs.max(axis=1))
    assert len(data.labels) == 36


def test_a_split_has_its_own_sides(root: Path) -> None:
    data = run_of(root, "split").spec.data()
    trained, held_out = (set(data.inputs[side][:, 0].tolist()) for side in (data.is_train, data.is_val))
    assert trained | held_out == set(range(7))
    assert not trained & held_out


def test_a_model_is_trained_and_read_back(root: Path) -> None:
    run = run_of(root, "model")
    W = weights(run, 12)
    assert {name: w.shape for name, w in W.items()} == {"W_x": (7, 5), "W_y": (7, 5), "W_U": (5, 7)}
    inputs = run.spec.data().inputs
    by_hand = (W["W_x"][inputs[:, 0]] * W["W_y"][inputs[:, 1]]) @ W["W_U"]
    model = run.model(12)
    for logits in (model(jnp.asarray(inputs)), model.plain(jnp.asarray(inputs))):
        np.testing.assert_allclose(logits, by_hand, rtol=1e-4, atol=1e-5)
    assert float(run["train_loss"][-1]) < float(run["train_loss"][0])
    gates = {"hook_post": jnp.asarray([1.0, 1.0, 0.0, 1.0, 1.0])}
    W["W_U"][2] = 0  # what a neuron writes is nothing where its gate is closed
    without = (W["W_x"][inputs[:, 0]] * W["W_y"][inputs[:, 1]]) @ W["W_U"]
    for plain in (True, False):
        gated = tiny.forward(model, jnp.asarray(inputs), gates, plain=plain)
        np.testing.assert_allclose(gated, without, rtol=1e-4, atol=1e-5)


def test_an_optimiser_takes_its_own_steps(root: Path) -> None:
    """Lion changes each weight by its rate, whatever the gradient, or not at all."""
    sizes = np.abs(moved(run_of(root, "optimiser"), 0))
    np.testing.assert_allclose(sizes[sizes > 0], 0.01, rtol=1e-3)
    assert (sizes > 0).mean() > 0.5


def test_a_batch_has_its_own_examples(root: Path) -> None:
    """The loss of each update is that of the eight examples that come next."""
    run = run_of(root, "batch")
    data = run.spec.data()
    inputs, labels = data.inputs[data.is_train], data.labels[data.is_train]
    for step in range(12):
        taken = np.arange(8 * step, 8 * step + 8) % len(labels)
        logits = np.asarray(run.model(step)(jnp.asarray(inputs[taken])), np.float64)
        log_prob = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -log_prob[np.arange(8), labels[taken]].mean()
        np.testing.assert_allclose(float(run["update_loss"].sel(step=step)), loss, rtol=1e-4)


def test_a_measure_reads_in_training(root: Path) -> None:
    run = run_of(root, "measure")
    assert run["activity_share"].dims == ("step", "neuron")
    data, W = run.spec.data(), weights(run, 12)
    x, y = data.inputs[data.is_train].T
    pair = np.concatenate([W["embed.W_x"][x], W["embed.W_y"][y]], axis=1)
    share = (pair @ W["mlp.W_in"] > 0).mean(axis=0)
    np.testing.assert_allclose(run["activity_share"].sel(step=12), share, atol=1e-6)
    np.testing.assert_allclose(run["activity_mean"].sel(step=12), share.mean(), atol=1e-6)


def test_a_trigger_fires_and_an_action_lasts(root: Path) -> None:
    """Of gradient descent a step is the rate times the gradient: after the action at most 0.5 * 0.01."""
    run = run_of(root, "intervention")
    gap = run["train_accuracy"] - run["val_accuracy"]
    (fired,) = run.events["step"]
    assert fired == int(gap["step"][(gap >= 0.05).values][0])
    sizes = [np.linalg.norm(moved(run, step)) for step in range(12)]
    assert min(sizes[:fired], default=1.0) > 0.006
    np.testing.assert_allclose(sizes[fired:], 0.005, rtol=1e-3)


@pytest.mark.parametrize("name", ["model", "intervention"])
def test_a_replay_gives_the_same_bits(root: Path, say: Say, name: str) -> None:
    said = say("replay", root, run_of(root, name).id, *with_(*FILES))
    assert said.code == 0
    assert "equal: every bit of" in said.out


def test_a_run_keeps_a_copy_of_the_files_that_define_it(root: Path, say: Say) -> None:
    run = run_of(root, "intervention")
    own = root / "runs" / run.id / "own"
    assert [path.name for path in own.iterdir()] == ["intervention.py"]
    kept = own / "intervention.py"
    assert kept.read_text() == (PARTS / "intervention.py").read_text()
    said = say("show", root / "runs" / run.id / "spec.toml", "--with", kept)
    assert f"id         {run.id}" in said.out


@pytest.mark.parametrize("command", ["replay", "measure", "report"])
def test_without_the_file_a_store_says_what_to_give(root: Path, say: Say, command: str) -> None:
    run_id = run_of(root, "task").id
    more = {"replay": [run_id], "measure": ["--measure", "norms", "--run", run_id], "report": []}[
        command
    ]
    said = say(command, root, *more)
    assert said.code == 2
    assert "cannot be read: " in said.line
    assert re.search(r"\w+\.name = '\w+' is not known here: give the file", said.line)
    assert "--with FILE" in said.line


def test_runs_that_have_ended_are_listed_without_their_file(root: Path, say: Say) -> None:
    said = say("runs", root, *with_(*FILES[1:]))
    assert "cannot be read" not in said.out
    assert said.out.count("done") == len(KINDS)
    (why,) = dict(Store(root).unreadable).values()
    assert why.startswith("task.name = 'largest' is not known here: give the file")


def test_runs_are_listed_by_why_they_cannot_be_read(root: Path, say: Say, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    for database in (copy / "readings").glob("*.sqlite"):  # as a version before wrote it
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("DROP TABLE summaries")
    said = say("runs", copy, *with_(*FILES[1:]))
    assert "cannot be read: task.name = 'largest' is not known here: give the file" in said.out
    assert said.out.count("cannot be read") == 1
    assert said.out.count("done") == len(KINDS) - 1


def test_a_run_of_a_file_that_changed_since_is_not_taken_for_it(root: Path, tmp_path: Path) -> None:
    changed = tmp_path / "task.py"
    changed.write_text((PARTS / "task.py").read_text() + "\n# another\n")
    ug.use(changed)
    wrong = dict(Store(root).unreadable)[run_of_id(root, "task")]
    assert f"{changed} is not what it was trained with: give the file" in wrong


def run_of_id(root: Path, name: str) -> str:
    rows = Store(root).query("SELECT run_id FROM names WHERE name = ?", (name,))
    return next(row["run_id"] for row in rows)


def test_readings_of_an_own_measure_are_added_to_any_store(root: Path, say: Say, tmp_path: Path) -> None:
    spec = ug.RunSpec(task=ug.Modular(p=5), model=ug.TwoTokenMLPSpec(d_embed=4, d_mlp=4), steps=2)
    ug.train(spec, out=tmp_path / "store", progress=False)
    said = say("measure", tmp_path / "store", "--measure", "activity", *with_("measure"))
    assert said.code == 0
    assert ug.open(tmp_path / "store").run(spec.id)["activity_share"].dims == ("step", "neuron")
    listed = say("measures", "--json", *with_("measure"))
    assert "activity" in [row["name"] for row in json.loads(listed.out)]
    assert say("measure", tmp_path / "store", "--measure", "activity").code == 2


# Which run it is


def test_the_packages_own_runs_are_what_they_were() -> None:
    before = ug.RunSpec().id
    for each in FILES:
        ug.use(PARTS / f"{each}.py")
    assert ug.RunSpec.from_dict({}).id == before == "ace4e3ecf9033b1f"


def test_the_text_of_a_file_decides_the_id_and_its_name_does_not(tmp_path: Path) -> None:
    text = (PARTS / "task.py").read_text()

    def id_of(name: str, text: str) -> str:
        forget()
        (tmp_path / name).write_text(text)
        ug.use(tmp_path / name)
        return largest().id

    first = id_of("one.py", text)
    assert id_of("two.py", text) == first
    assert id_of("one.py", text.replace("maximum", "minimum")) != first


def test_a_file_that_changes_in_a_session_takes_the_place_of_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text((PARTS / "task.py").read_text())
    first = ug.use(file)
    spec = largest()
    assert ug.use(file) is first
    file.write_text(file.read_text().replace("maximum", "minimum"))
    second = ug.use(file)
    again = largest()
    assert (type(again.task), again.id) == (second.Largest, ug.RunSpec(task=second.Largest()).id)
    assert again.id != spec.id
    assert again.task.table().max() == 10
    assert again.task.table()[3, 8] == 3


def test_a_folder_is_defined_by_all_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "numbers.py").write_text("SIZE = 5\n")
    text = (PARTS / "task.py").read_text().replace("default=11", "default=SIZE")
    (folder / "__init__.py").write_text(
        text.replace("import numpy", "from .numbers import SIZE\nimport numpy")
    )
    ug.use(folder)
    first = largest()
    assert first.task.n_labels == 5
    (folder / "numbers.py").write_text("SIZE = 5  # five\n")
    ug.use(folder)
    assert largest().id != first.id
    copies = own_parts.copies_of(largest())
    assert sorted(copies) == ["mine/__init__.py", "mine/numbers.py"]


def test_a_worker_refuses_a_file_that_changed_under_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text((PARTS / "task.py").read_text())
    ug.use(file)
    told = own_parts.told_to_others()
    forget()
    own_parts.use_what_was_told(told)
    assert [source.path for source in own_parts.sources()] == [file]
    forget()
    file.write_text(file.read_text() + "\n")
    with pytest.raises(SpecError, match=r"mine\.py was changed while runs with it trained"):
        own_parts.use_what_was_told(told)


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_machine_without_the_files_uses_their_texts(tmp_path: Path, is_folder: bool) -> None:
    place = tmp_path / "here" / ("mine" if is_folder else "mine.py")
    file = place / "__init__.py" if is_folder else place
    file.parent.mkdir(parents=True)
    file.write_text((PARTS / "task.py").read_text())
    if is_folder:
        importing = "from .numbers import SIZE\nimport numpy"
        file.write_text(file.read_text().replace("import numpy", importing))
        (place / "numbers.py").write_text("SIZE = 5\n")
    ug.use(place)
    first, copies = largest(), own_parts.copies_of(largest())
    told = pickle.loads(pickle.dumps(own_parts.texts_for_others()))
    forget()
    shutil.rmtree(tmp_path / "here")
    for _ in range(2):
        own_parts.use_texts(told, tmp_path / "there")
    (source,) = own_parts.sources()
    assert source.path.is_relative_to(tmp_path / "there")
    assert largest().id == first.id
    assert own_parts.copies_of(largest()) == copies


def test_steps_that_were_compiled_before_know_the_hooks_that_came_after() -> None:
    state = TrainState(tiny.mlp(), (), {}).with_knobs(clip_gradient=1.0)

    def clipped(g: jax.Array) -> jax.Array:
        return asked("on_gradient", g, state, jax.random.key(0))

    step = jax.jit(clipped)
    gradient = jnp.full(4, 2.0)
    assert float(jnp.linalg.norm(step(gradient))) == 4.0
    ug.use(PARTS / "intervention.py")
    assert float(jnp.linalg.norm(step(gradient))) == 1.0


# What is wrong, in one line

NAMED = """
from typing import Literal
from undergrowth.tasks import Modular
class Mine(Modular):
    name: Literal["{name}"] = "{name}"
"""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("def f(:\n    pass\n", r"mine\.py, line 1: invalid syntax: mend it"),
        ("\nimport nowhere\n", r"mine\.py, line 2: ModuleNotFoundError: No module named 'nowhere'"),
        (
            "def f():\n    return 1 / 0\n\n\nf()\n",
            r"mine\.py, line 2: ZeroDivisionError: division by zero",
        ),
        ("import sys\nsys.exit(3)\n", r"mine\.py, line 2: SystemExit: 3"),
        ("from undergrowth.tasks import Modular\nModular(p='7')\n", r"mine\.py, line 2: p = '7': input"),
        (
            NAMED.format(name="modular"),
            r"mine\.py, line 4: name = 'modular': the package has a task of that name: give this",
        ),
        (
            "from undergrowth.tasks import Task\nclass Mine(Task):\n    name: int = 3\n",
            r'mine\.py, line 2: the task Mine has no name: write name: Literal\["mine"\] = "mine"',
        ),
        (
            "from typing import Literal\nfrom undergrowth.measures import Measure\n"
            'class Mine(Measure):\n    name: Literal["mine"] = "mine"\n',
            r"mine\.py, line 3: the measure 'mine' lacks observe, as every measure has: write it",
        ),
        (
            "from __future__ import annotations\n" + NAMED.format(name="mine") + "    of: Foo = 3\n",
            r"mine\.py, line 5: the task 'mine' has fields of types that it lacks: define",
        ),
        (
            "import undergrowth as ug\nug.train(ug.RunSpec(steps=1), out='x')\n",
            r"mine\.py, line 2: it trains while it is imported, .* put that .* below if __name__",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, wrong: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(text)
    said = say("presets", "--with", "mine.py")
    assert (said.code, said.out) == (2, "")
    assert re.search(wrong, said.line), said.line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]
    assert own_parts.sources() == ()


def test_a_file_that_is_not_there_is_one_line(say: Say) -> None:
    said = say("presets", "--with", "nowhere.py")
    assert said.code == 2
    assert "nowhere.py: there is no such Python file: give one" in said.line


def test_two_files_with_one_name_are_refused(say: Say, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(NAMED.format(name="mine"))
    said = say("presets", "--with", tmp_path / "a.py", "--with", tmp_path / "b.py")
    assert said.code == 2
    assert re.search(r"b\.py, line 4: name = 'mine': .*a\.py, line 4 has a task of that name", said.line)
    measure = "from undergrowth.measures import Norms\n" + NAMED.replace(
        "tasks import Modular", "measures import Norms"
    )
    (tmp_path / "b.py").write_text(measure.replace("(Modular)", "(Norms)").format(name="mine"))
    assert say("presets", "--with", tmp_path / "a.py", "--with", tmp_path / "b.py").code == 0


def test_a_command_that_is_proposed_brings_what_is_in_use(root: Path, say: Say, tmp_path: Path) -> None:
    folder = tmp_path / "of my own"
    folder.mkdir()
    (folder / "__init__.py").write_text(NAMED.format(name="mine"))
    said = say("replay", root, "nosuch", *with_("task"), "--with", folder)
    given = f"--with {PARTS / 'task.py'} --with '{folder}'"
    assert f"`undergrowth runs {root} {given}` lists them" in said.line


def test_an_unknown_name_says_how_to_give_ones_own(say: Say, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text('[task]\nname = "largest"\n')
    said = say("run", tmp_path / "spec.toml", "--out", tmp_path / "store")
    assert said.code == 2
    assert "task.name = 'largest': unknown name; known names: " in said.line
    assert said.line.endswith("one of your own comes with --with FILE, in Python ug.use(FILE)")


def test_a_kind_to_which_none_can_be_added_says_nothing_of_ones_own() -> None:
    with pytest.raises(SpecError) as caught:
        ug.RunSpec.from_dict({"weights": {"name": "mine"}})
    assert str(caught.value).endswith(
        "known names: 'equal', 'given', 'of_groups', 'of_noisy', 'power_law'"
    )


def test_what_fails_in_a_worker_names_file_and_line(say: Say, tmp_path: Path) -> None:
    text = (PARTS / "measure.py").read_text().replace("activations = {}", "activations = {}[0]")
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "spec.toml").write_text(
        'steps = 2\ntask = { p = 5 }\nmodel = { name = "two_token_mlp", d_embed = 4, d_mlp = 4 }\n'
        'measures = [{ name = "curves" }, { name = "activity" }]\n'
    )
    said = say(
        "run", tmp_path / "spec.toml", "--out", tmp_path / "store", "--with", tmp_path / "mine.py"
    )
    assert said.code == 1
    line = 1 + text.splitlines().index("        activations = {}[0]")
    assert f"mine.py, line {line}: KeyError: 0" in said.line


def test_what_fails_here_names_file_and_line(say: Say, tmp_path: Path) -> None:
    text = (PARTS / "task.py").read_text().replace("np.maximum", "np.maximal")
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "spec.toml").write_text('[task]\nname = "largest"\n')
    said = say("show", tmp_path / "spec.toml", "--with", tmp_path / "mine.py")
    assert said.code == 1
    assert re.search(r"mine\.py, line \d+: AttributeError: .*maximal", said.line)


def test_a_module_without_a_file_is_refused() -> None:
    with pytest.raises(SpecError, match="module 'builtins' has no file, so no worker can import it"):
        ug.use(sys.modules["builtins"])


def test_a_script_may_define_parts_and_train_them(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        (PARTS / "task.py").read_text()
        + """
if __name__ == "__main__":
    import undergrowth as ug

    ug.use(__file__)
    model = ug.TwoTokenMLPSpec(d_embed=4, d_mlp=4)
    ug.train(ug.RunSpec(task=Largest(n=5), model=model, steps=2), out="store", progress=False)
"""
    )
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True)
    ug.use(script)
    (run,) = ug.open(tmp_path / "store").runs
    assert (run.status, run.spec.task) == ("done", largest(n=5).task)


# Installed packages


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package on the path, as pip leaves it, with the task of the page and a study."""
    site = tmp_path / "site"
    package, info = site / "their_parts", site / "their_parts-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    for name in ("task", "study"):
        (package / f"{name}.py").write_text((PARTS / f"{name}.py").read_text())
    (package / "__init__.py").write_text("from .study import STUDY\nfrom .task import Largest\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[undergrowth]\nparts = their_parts\n")
    monkeypatch.syspath_prepend(site)
    yield site
    for name in [name for name in sys.modules if name.split(".")[0] == "their_parts"]:
        del sys.modules[name]


def test_an_entry_point_is_imported_when_a_name_is_unknown(
    installed: Path, say: Say, tmp_path: Path
) -> None:
    ug.RunSpec.from_dict({"task": {"name": "modular"}})
    assert "their_parts" not in sys.modules
    (tmp_path / "spec.toml").write_text(
        'steps = 2\ntask = { name = "largest", n = 5 }\n'
        'model = { name = "two_token_mlp", d_embed = 4, d_mlp = 4 }\n'
    )
    said = say("run", tmp_path / "spec.toml", "--seeds", 2, "--out", tmp_path / "store")
    assert said.code == 0
    forget()
    assert [run.status for run in ug.open(tmp_path / "store").runs] == ["done", "done"]
    assert say("verify", tmp_path / "store").code == 0
    assert ug.study("my-decay").name == "my-decay"
    assert "my-decay" in say("study", "list").out


def test_a_run_with_an_installed_part_depends_on_all_of_the_package(installed: Path) -> None:
    def id_now() -> str:
        forget()
        for name in [name for name in sys.modules if name.split(".")[0] == "their_parts"]:
            del sys.modules[name]
        return largest().id

    first = id_now()
    assert id_now() == first
    (installed / "their_parts" / "more.py").write_text("X = 1\n")
    assert id_now() != first
    assert own_parts.copies_of(largest()) == {}


def test_an_entry_point_that_fails_is_named(installed: Path) -> None:
    (installed / "their_parts" / "__init__.py").write_text("import nowhere\n")
    with pytest.raises(SpecError, match=r"entry point 'parts' of the package their-parts: .*No module"):
        largest()


# A study


def test_a_study_of_ones_own_is_listed_run_and_reported(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "study.py"
    file.write_text((PARTS / "study.py").read_text().replace('"quick": 1000', '"quick": 4'))
    assert "my-decay" in say("study", "list", "--with", file).out
    assert "my-decay" not in say("study", "list").out
    shown = say("study", "show", "my-decay", "--with", file)
    assert "M1    With weight decay more" in shown.out
    out = tmp_path / "store"
    planned = say("sweep", "my-decay", "--dry-run", "--json", "--out", out, "--with", file)
    assert json.loads(planned.out)["to_train"] == 8
    said = say("study", "run", "my-decay", "--seeds", 2, "--out", out, "--with", file)
    assert said.code == 0
    verdicts = json.loads((out / "verdicts.json").read_text())["verdicts"]
    assert [(each["claim"], each["study"], each["n_seeds"]) for each in verdicts] == [
        ("M1", "my-decay", 2)
    ]
    assert "Does weight decay help a small network to add?" in (out / "report.html").read_text()
    again = say("report", out, "--with", file)
    assert "M1" in again.out
    ug.use(file)
    monkeypatch.setattr(sys, "argv", ["snapshot", str(out), str(tmp_path / "live.html")])
    for name, value in own_parts.told_to_others().items():
        monkeypatch.setenv(name, value)
    forget()
    assert snapshot.main() == 0  # what the live view runs in a process of its own
    assert "M1" in (tmp_path / "live.claims.json").read_text()
    assert own_parts.told_to_others(only_kinds=True) == {}
    without = say("report", out)
    assert without.code == 0
    assert "my-decay: no such study, so its runs are reported as runs of your own" in without.line
    unknown = say("study", "show", "my-decay")
    assert unknown.code == 2
    assert unknown.line.endswith("(one of your own comes with --with FILE)")


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('name="my-decay"', 'name="leak"', "name = 'leak': the package has a study of that name"),
        ("arm=DECAY", 'arm="x"', "study 'my-decay', quick: arm of an endpoint 'x' is not there"),
        ("ug.Modular(p=17)", "ug.Modular(p=-1)", "p = -1"),
    ],
)
def test_a_study_that_does_not_fit_is_one_line(
    say: Say, tmp_path: Path, old: str, new: str, wrong: str
) -> None:
    file = tmp_path / "study.py"
    file.write_text((PARTS / "study.py").read_text().replace(old, new))
    said = say("study", "list", "--with", file)
    assert said.code == 2
    assert f"{file}: " in said.line
    assert wrong in said.line
