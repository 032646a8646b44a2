"""The command line as a user meets it: what it prints, its exit codes, one line for what is wrong."""

from __future__ import annotations

import errno
import html
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import get_type_hints

import pytest
import tomli_w

import undergrowth
from tests import tiny
from tests.commands import ran
from undergrowth import cli
from undergrowth.analysis import Above, Estimate, Verdict
from undergrowth.analysis.claims import answered
from undergrowth.cli import app, main
from undergrowth.measures.named import KINDS
from undergrowth.plain_text import visible
from undergrowth.printing import print_answers, print_table, print_verdicts
from undergrowth.spec import RunSpec
from undergrowth.spec.file import read_file, read_runs
from undergrowth.spec.presets import preset
from undergrowth.store import Store
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.store.writer import Writer
from undergrowth.studies import STUDIES
from undergrowth.studies.arm import Planned
from undergrowth.studies.conducting import Places, Report
from undergrowth.sweep import Layout, train
from undergrowth.version import __version__


class Said:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: str, wrong: str) -> None:
        self.code, self.out, self.wrong = code, out, wrong


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]):
    """Run a command in this process."""

    return lambda *arguments: Said(*ran(capsys, *arguments))


@pytest.fixture
def spec_file(tmp_path: Path):
    """Write a spec file."""

    def write(text: str) -> Path:
        path = tmp_path / "spec.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("step = 10", ["'step'", "did you mean 'steps'?"]),
        ("[optimiser]\nweigth_decay = 1", ["optimiser.weigth_decay", "did you mean 'weight_decay'?"]),
        ('[task]\noperation = "x/y"\np = 12', ["p = 12 is not prime", "use a prime p, such as 13"]),
        ("[split]\nfrac_train = 1.5", ["frac_train = 1.5", "less than 1"]),
        ("[task]\np = 2\n[split]\nfrac_train = 0.01", ["frac_train = 0.01", "no training example"]),
        ('[batch]\nname = "mini"\nbatch_size = 9999', ["batch_size = 9999", "use a smaller batch"]),
        ("[model]\nn_heads = 0", ["model.n_heads = 0", "greater than"]),
        ('[model]\nname = "transfomer"', ["model.name = 'transfomer'", "did you mean 'transformer'?"]),
        ('[task]\np = "53"', ["task.p = '53'", "valid integer"]),
        ("[[interventions]]\ntrigger = { step = 3 }", ["interventions.0.trigger", "'at_step'"]),
        ("steps = 0", ["steps = 0", "greater than or equal to 1"]),
        ("[optimiser]\nlr = -1", ["lr = -1", "greater than 0"]),
        ("steps =", ["not TOML"]),
    ],
)
def test_a_wrong_spec_is_one_line_with_the_value_and_the_rule(say, spec_file, spec, parts) -> None:
    said = say("show", spec_file(spec))
    assert said.code == 2
    assert said.out == ""
    assert said.wrong.count("\n") == 1
    for part in ["spec.toml: ", *parts]:
        assert part in said.wrong


@pytest.mark.parametrize(
    "command",
    [
        ["show", "nowhere.toml"],
        ["runs", "nowhere"],
        ["verify", "nowhere"],
        ["report", "nowhere"],
        ["study", "show", "groking"],
        ["study", "run", "grokking", "--budget", "huge"],
        ["study", "run", "grokking", "--seeds", "0"],
        ["demo", "--sedes", "3"],
        ["rnu"],
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(say, tmp_path, monkeypatch, command) -> None:
    monkeypatch.chdir(tmp_path)
    said = say(*command)
    assert said.code == 2
    assert said.wrong.count("\n") == 1
    assert said.wrong.startswith("undergrowth: ")
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_study_gets_its_neighbours_name(say) -> None:
    assert "did you mean 'grokking'?" in say("study", "show", "groking").wrong


@pytest.mark.parametrize("name", ["y[/b]", "[red]x", "a:smile:b", "]["])
def test_what_looks_like_markup_is_printed_as_it_is(say, tmp_path, name) -> None:
    create(tmp_path / name)
    said = say("runs", tmp_path / name)
    assert (said.code, said.out) == (0, f"{tmp_path / name} has no runs yet\n")


def test_cells_and_verdicts_with_brackets_are_printed_as_they_are(capsys, tmp_path) -> None:
    print_table([{"run": "x[/b] [red]y"}])
    estimate = Estimate(1.0, 0.5, 2.0, level=0.95, n=10, method="none")
    verdict = Verdict("P1", "saliency", "e", "number", estimate, Above(0.0), is_primary=True)
    places = Places(tmp_path / "y[/b]", tmp_path / "v", tmp_path / "c")
    print_answers(Report(places, (verdict,), answered({"P1": "a[/b] [red]c"}, [verdict])))
    out = capsys.readouterr().out
    for part in ("x[/b] [red]y", "supported    a[/b] [red]c", "interval [0.5, 2]", f"{tmp_path}/y[/b]"):
        assert part in out


def test_runs_that_cannot_be_read_are_listed(say, tmp_path, monkeypatch) -> None:
    create(tmp_path / "store")
    lost = (("0123456789abcdef", "its spec [of 1999] is not JSON"),)
    monkeypatch.setattr(Store, "listed", lambda _: ([], lost))
    said = say("runs", tmp_path / "store")
    assert said.out == "run 0123456789abcdef cannot be read: its spec [of 1999] is not JSON\n"
    assert json.loads(say("runs", tmp_path / "store", "--json").out) == [
        {"id": lost[0][0], "status": "unreadable", "reason": lost[0][1]}
    ]


def test_a_report_that_finds_no_room_is_one_line(say, spec_file, tmp_path, monkeypatch) -> None:
    out = tmp_path / "store"
    assert say("run", spec_file(tiny.spec().to_toml()), "--out", out).code == 0

    def full(path: Path, content: bytes) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("undergrowth.report.page.write_whole", full)
    said = say("report", out)
    assert (said.code, said.wrong.count("\n")) == (1, 1)
    for part in (str(out / "report.html"), "No space left on device", f"undergrowth report {out}"):
        assert part in said.wrong


def test_an_output_directory_that_cannot_be_made_is_one_line(say, spec_file) -> None:
    spec = spec_file(tiny.spec().to_toml())
    said = say("run", spec, "--out", spec / "store")
    assert (said.code, said.wrong.count("\n")) == (2, 1)
    assert said.wrong.startswith(f"undergrowth: {spec / 'store'}")


def test_a_report_names_the_command_that_was_given(say, spec_file, tmp_path) -> None:
    out = tmp_path / "store"
    assert say("run", spec_file(tiny.spec().to_toml()), "--out", out).code == 0
    assert say("report", out).code == 0
    assert f"undergrowth report {out}" in (out / "report.html").read_text()


def test_the_package_is_a_command() -> None:
    command = [sys.executable, "-m", "undergrowth", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == __version__


def test_an_output_directory_with_other_things_in_it_is_left_alone(say, spec_file, tmp_path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("precious")
    said = say("run", spec_file(tiny.spec().to_toml()), "--out", tmp_path / "thesis")
    assert (said.code, said.wrong.count("\n")) == (2, 1)
    assert "holds no undergrowth store" in said.wrong


def test_a_store_that_another_process_writes_is_not_touched(say, spec_file, tmp_path) -> None:
    create(tmp_path / "store")
    with writing(tmp_path / "store"):
        said = say("run", spec_file(tiny.spec().to_toml()), "--out", tmp_path / "store")
    assert (said.code, said.wrong.count("\n")) == (2, 1)
    assert "written by another process" in said.wrong


def test_show_resolved_prints_a_spec_that_is_the_same_run(say, spec_file) -> None:
    said = say("show", spec_file("[task]\np = 23"), "--resolved")
    assert said.code == 0
    again = RunSpec.from_toml(said.out)
    assert again == RunSpec.from_toml("[task]\np = 23")
    assert "weight_decay" in said.out


def test_show_json_gives_the_id(say, spec_file) -> None:
    said = say("show", spec_file(""), "--json")
    assert json.loads(said.out)["id"] == RunSpec().id


def test_a_run_is_trained_listed_verified_and_reported(say, spec_file, tmp_path) -> None:
    spec, out = tiny.spec(), tmp_path / "store"
    said = say("run", spec_file(spec.to_toml()), "--out", out, "--seeds", 2)
    assert said.code == 0, said.wrong
    listed = json.loads(say("runs", out, "--json").out)
    assert {row["id"] for row in listed} == {spec.seeded(seed).id for seed in (0, 1)}
    assert {row["status"] for row in listed} == {"done"}
    assert {"memorised", "memorised stable", "onset", "grokked"} <= set(listed[0])
    assert spec.seeded(0).id in say("runs", out).out
    assert json.loads(say("verify", out, "--json").out)["damage"] == []
    assert say("report", out).code == 0
    assert spec.seeded(0).id in (out / "report.html").read_text()
    assert json.loads((out / "verdicts.json").read_text())["verdicts"] == []
    assert json.loads((out / "claims.json").read_text()) == {"schema": 2, "claims": []}


def test_a_file_of_arms_is_shown_run_and_listed(say, spec_file, tmp_path) -> None:
    fork = 'fork = { of = "trunk", at = { name = "at_step", step = 20 } }'
    action = '{ trigger = { name = "after_fork" }, action = { name = "reset_moments" } }'
    arms = f'[[runs]]\nname = "trunk"\n[[runs]]\n{fork}\ninterventions = [{action}]'
    top = tomli_w.dumps(tiny.spec().model_dump(mode="json", exclude_none=True))
    path, out = spec_file(f"{top}\n{arms}"), tmp_path / "store"
    trunk, arm = read_runs(path.read_text())
    shown = say("show", path)
    assert shown.code == 0
    words = "x+y mod 5, seed 0, fork at step 20, then reset_moments"
    for part in (trunk.id, arm.id, words, f"fork       of {trunk.id} at step 20"):
        assert part in shown.out
    assert [one["id"] for one in json.loads(say("show", path, "--json").out)] == [trunk.id, arm.id]
    ran = say("run", path, "--out", out)
    assert ran.code == 0, ran.wrong
    assert f"{arm.id}  done  {words}\n" in ran.out
    assert f"{trunk.id}  done  trunk: x+y mod 5, seed 0\n" in ran.out
    listed = json.loads(say("runs", out, "--json").out)
    assert sorted(row["run"] for row in listed) == ["trunk: x+y mod 5, seed 0", words]
    assert sorted(row["names"] for row in listed) == [[], ["trunk"]]
    assert say("report", out).code == 0


def test_presets_are_listed_shown_and_hinted_at(say, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = json.loads(say("presets", "--json").out)
    assert {"nanda2023", "power2022"} <= {row["name"] for row in listed}
    for row in listed:
        assert row["source"] in say("presets").out
    assert preset("nanda2023").id in say("show", "nanda2023").out
    said = say("run", "nanda2032")
    assert (said.code, said.wrong.count("\n")) == (2, 1)
    assert "or a name from `undergrowth presets`; did you mean 'nanda2023'?" in said.wrong
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("[[runs]]\nstepz = 3", ["runs.0: stepz = 3", "did you mean 'steps'?"]),
        ('[[runs]]\nfork.of = "x"', ["runs.0: fork.of = 'x'", "no run above it has a name"]),
        ('preset = "nobody1999"', ["preset = 'nobody1999'", "presets: power2022"]),
        (
            '[fork]\nof = "0123456789abcdef"\nat = { name = "at_step", step = 3 }',
            ["fork.of = '0123456789abcdef': no such run in the store", "train the parent into"],
        ),
    ],
)
def test_a_file_that_cannot_be_run_is_one_line_and_exit_code_2(
    say, spec_file, tmp_path, spec, parts
) -> None:
    said = say("run", spec_file(spec), "--out", tmp_path / "store")
    assert (said.code, said.out, said.wrong.count("\n")) == (2, "", 1)
    for part in parts:
        assert part in said.wrong


def test_damage_is_exit_code_1(say, spec_file, tmp_path) -> None:
    out = tmp_path / "store"
    assert say("run", spec_file(tiny.spec().to_toml()), "--out", out).code == 0
    next(out.glob("runs/*/checkpoints/*/model.safetensors")).unlink()
    said = say("verify", out)
    assert said.code == 1
    assert "the file is missing" in said.out


def test_a_run_that_diverges_is_exit_code_1_and_said_in_one_line(say, spec_file, tmp_path) -> None:
    absurd = tiny.spec(optimiser={"name": "sgd", "lr": 1e30})
    said = say("run", spec_file(absurd.to_toml()), "--out", tmp_path / "store")
    assert said.code == 1
    assert "is not finite" in said.wrong
    assert json.loads(say("runs", tmp_path / "store", "--json").out)[0]["status"] == "failed"


def test_studies_are_listed_and_shown_with_what_they_predict(say) -> None:
    listed = json.loads(say("study", "list", "--json").out)
    assert {claim for study in listed for claim in study["claims"]} >= {"P1", "P2", "P14", "P16", "P17"}
    assert all(study["budgets"]["standard"]["runs"] >= 20 for study in listed)
    assert all(len(study.hypotheses) >= 2 for study in STUDIES.values())
    for study in listed:
        assert study["question"] in " ".join(say("study", "show", study["name"]).out.split())
    for study in listed[::6]:
        shown = json.loads(say("study", "show", study["name"], "--json").out)
        assert shown["hypotheses"] == dict(STUDIES[study["name"]].hypotheses)
        assert shown["runs"]["standard"] == study["budgets"]["standard"]["runs"]


@pytest.mark.parametrize(
    ("given", "trained"), [("2", [100, 101]), ("108-110", [108, 109, 110]), ("7-7", [7])]
)
def test_a_study_trains_as_many_seeds_as_asked_or_those_named(say, monkeypatch, given, trained) -> None:
    asked: list[Planned] = []
    monkeypatch.setattr(cli.studies, "_conduct", lambda names, planned, out: asked.extend(planned) or 0)
    assert say("study", "run", "leak", "--budget", "full", "--seeds", given).code == 0
    assert sorted({each.spec.seeds.model for each in asked}) == trained
    assert len(asked) == len(trained) * len({each.part.arm for each in asked})


@pytest.mark.parametrize(("p", "told"), [(6.1e-5, "p < 0.001"), (0.0321, "p = 0.032")])
def test_a_p_value_in_the_terminal_has_one_sign(capsys, p: float, told: str) -> None:
    row = {"claim": "P1", "ruling": "supported", "primary": True, "endpoint": "later", "arm": "an arm"}
    effect = {"effect": 2.0, "interval": [1.5, 2.5], "says": "2 steps later", "n_seeds": 16}
    print_verdicts([row | effect | {"p_adjusted": p, "waits_for": ""}])
    assert f", {told} adjusted for all claims" in " ".join(capsys.readouterr().out.split())


def test_help_and_version_need_no_jax() -> None:
    code = "import sys; from undergrowth.cli import app; app(['--help'], result_action='return_value'); "
    code += "sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("measurable") / "store"
    train([tiny.spec()], root, layout=Layout(workers=1))
    return root


@pytest.fixture
def measurable(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def test_measure_lists_what_it_read_and_keeps_it(say, measurable: Path) -> None:
    run = Store(measurable).runs[0]
    said = say("measure", measurable, "--measure", "norms", "--run", run.id[:8], "--step", 10, "--json")
    assert said.code == 0
    (norm,) = (row for row in json.loads(said.out) if row["reading"] == "weight_norm")
    assert norm["step"] == 10
    assert norm["lowest"] == norm["highest"] == float(run["weight_norm"].sel(step=10))
    again = say("measure", measurable, "--measure", "norms", "--run", run.id[:8], "--step", 10)
    assert "0 checkpoints measured, 1 already measured" in again.out


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--measure", "salency"], "no measure 'salency'; did you mean 'saliency'?"),
        (["--measure", "norms", "--run", "zz"], "'zz': no run in"),
        (["--measure", "norms", "--step", "7"], "has no checkpoint at step 7: it has 0, 10, 20, 30"),
        (
            ["--measure", "{ name = 'saliency', component = 'head' }"],
            "measures look at component = 'head', which a two_token_mlp lacks: take 'neuron'",
        ),
        ([], "--measure"),
    ],
)
def test_what_cannot_be_measured_is_wrong_use_in_one_line(
    say, measurable: Path, arguments: list[str], wrong: str
) -> None:
    said = say("measure", measurable, *arguments)
    assert said.code == 2
    assert wrong in said.wrong
    assert said.wrong.count("\n") == 1


def test_measures_lists_every_kind_with_its_fields(say) -> None:
    listed = {row["name"]: row for row in json.loads(say("measures", "--json").out)}
    assert set(listed) == set(KINDS)
    assert "n_nodes" in listed["saliency"]["fields"]
    assert listed["curves"]["what"].startswith("train_loss, val_loss")
    assert "saliency" in say("measures").out


def commands() -> list[tuple[str, ...]]:
    """All commands, each as its words."""
    studies = [("study", name) for name in app["study"] if not name.startswith("-")]
    return [*((name,) for name in app if not name.startswith("-") and name != "study"), *studies]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_says_of_every_parameter_what_it_is(say, words: tuple[str, ...]) -> None:
    shown = " ".join(say(*words, "--help").out.replace("│", " ").split())
    function = (
        app[words[0]].default_command if len(words) == 1 else app["study"][words[1]].default_command
    )
    for name, hint in get_type_hints(function, include_extras=True).items():
        told = [extra.help for extra in getattr(hint, "__metadata__", ()) if extra.help]
        assert told or name == "return", f"--{name} has no help"
        assert all(" ".join(text.split()) in shown for text in told)


def test_all_studies_can_be_found_out_about(say) -> None:
    shown = " ".join(say("study", "run", "--help").out.replace("│", " ").split())
    assert "'all' for all studies" in shown
    assert "undergrowth study run all" in say("study", "list").out


HOSTILE = "\x1b[31mred\x07\r\n\x9b32m \u202eback \x7f"


def obeyed(text: str) -> set[str]:
    """Characters of an output that a terminal would obey."""
    return {each for each in text if each != "\n" and visible(each) != each}


@pytest.fixture(scope="module")
def of_many_kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a hostile name, a run that diverged, and one in which something never fired."""
    root = tmp_path_factory.mktemp("kinds") / "b\udce9d\nplace \x1b[0m"
    never = {"trigger": CROSSES, "action": {"name": "reset_moments"}}
    specs = [
        tiny.spec(),
        tiny.spec(optimiser={"name": "sgd", "lr": 1e30}),
        tiny.spec(interventions=[never]),
        tiny.spec(steps=20),
    ]
    train(specs, root, layout=Layout(workers=1), names={specs[0].id: [HOSTILE]})
    return root


CROSSES = {"name": "when_crosses", "reading": "val_accuracy", "level": 2.0}
READING = (["runs"], ["report"], ["verify"], ["measure", "--measure", "norms"], ["replay"])


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("as_json", [False, True])
def test_any_text_in_a_store_comes_out_safe(
    monkeypatch, of_many_kinds: Path, command: list[str], encoding: str, as_json: bool
) -> None:
    out, wrong = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", wrong)
    name, *options = command
    ids = [tiny.spec().id] if name == "replay" else []
    with pytest.raises(SystemExit) as ended:
        main([name, str(of_many_kinds), *ids, *options, *["--json"] * as_json])
    assert ended.value.code == 0
    for stream in (out, wrong):
        stream.flush()
        text = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
        assert obeyed(text) == set()
        if as_json and stream is out:
            json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_hostile_spec_file_comes_out_safe(monkeypatch, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a\x1b[31m\nb.toml"
    task = {"name": "table", "csv": "x,y,label\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n", "title": "é"}
    path.write_text(tomli_w.dumps({"task": task, "runs": [{"name": HOSTILE}]}), "utf-8")
    for options in ([], ["--resolved"], ["--json"]):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as ended:
            main(["show", str(path), *options])
        assert ended.value.code == 0
        out.flush()
        text = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
        assert obeyed(text) == set()
        if options == ["--resolved"]:
            assert read_file(text) == read_file(path.read_text("utf-8"))


def test_what_is_amiss_in_runs_is_listed(say, of_many_kinds: Path) -> None:
    listed = json.loads(say("runs", of_many_kinds, "--json").out)
    notes = sorted(row["note"] for row in listed)
    assert notes == [
        "",
        "",
        "diverged at step 10",
        "never fired: reset_moments at val_accuracy ≥ 2",
    ]
    page = of_many_kinds / "report.html"
    assert say("report", of_many_kinds).code == 0
    for part in ("never fired: reset_moments at val_accuracy ≥ 2", "diverged at step 10"):
        assert part in page.read_text()


def test_runs_of_one_description_are_told_apart(say, of_many_kinds: Path) -> None:
    listed = json.loads(say("runs", of_many_kinds, "--json").out)
    lines = [row["run"] for row in listed]
    assert len(set(lines)) == 4
    assert all(part in " ".join(lines) for part in ("steps=20", "steps=30", "lr=1e+30", "red"))


def test_a_damaged_run_is_listed_and_the_others_as_ever(say, of_many_kinds: Path, tmp_path) -> None:
    copy = Path(shutil.copytree(of_many_kinds, tmp_path / "copy"))
    before = {row["id"]: row for row in json.loads(say("runs", copy, "--json").out)}
    bad = tiny.spec().id
    for database in (copy / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE readings SET content = x'00' WHERE run_id = ?", (bad,))
    after = {row["id"]: row for row in json.loads(say("runs", copy, "--json").out)}
    assert after[bad]["status"] == "damaged"
    assert after[bad]["note"]
    assert {**after, bad: None} == {**before, bad: None}
    assert say("report", copy).code == 0
    assert "damaged: " in (copy / "report.html").read_text()
    assert all(run[:8] in (copy / "report.html").read_text() for run in before)


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (["replay", "STORE", "zz"], "`undergrowth runs "),
        (["measure", "STORE", "--measure", "norms", "--run", "zz"], "`undergrowth runs "),
        (["replay", "EMPTY", "zz"], "train some first"),
        (["run", "SPEC", "--seeds", "0"], "give --seeds 1 or more"),
        (["demo", "--seeds", "-1"], "give --seeds 1 or more"),
        (["study", "run", "leak", "--seeds", "0"], "give --seeds 1 or more"),
        *(
            (["study", "run", "leak", "--seeds", given], "give --seeds 8, or --seeds 108-115")
            for given in ("eight", "115-108", "108-", "1.5", "100,101", f"0-{2**31}", "108-115-120", "")
        ),
        (["runs", "nothere"], "give the --out directory of a run, a study or the demo"),
        (["run"], "see `undergrowth run --help`"),
        (["study", "rnu"], "see `undergrowth study --help`"),
        (["report", "EMPTY"], "train some first"),
    ],
)
def test_wrong_use_names_the_remedy(
    say, measurable: Path, spec_file, tmp_path, command: list[str], remedy: str
) -> None:
    create(tmp_path / "empty")
    places = {"STORE": measurable, "EMPTY": tmp_path / "empty", "SPEC": spec_file("")}
    said = say(*(places.get(word, word) for word in command))
    assert (said.code, said.wrong.count("\n")) == (2, 1)
    assert remedy in said.wrong


def test_more_steps_say_how_to_go_on_and_that_works(say, spec_file, tmp_path) -> None:
    out = tmp_path / "store"
    assert say("run", spec_file(tiny.spec().to_toml()), "--out", out).code == 0
    longer = tiny.spec(steps=40)
    said = say("run", spec_file(longer.to_toml()), "--out", out)
    assert (said.code, said.wrong.count("\n")) == (0, 1)
    hint = re.search(r"write (fork = \{.*\}) in its spec", said.wrong)
    assert hint is not None
    path = spec_file(f"{hint.group(1)}\n{longer.to_toml()}")
    said = say("run", path, "--out", out)
    assert (said.code, said.wrong) == (0, "")
    fork, whole = (Store(out).run(spec.id) for spec in (read_runs(path.read_text())[0], longer))
    assert fork["val_loss"].equals(whole["val_loss"])


def test_show_resolved_of_many_runs_is_the_same_runs(say, spec_file, tmp_path) -> None:
    path = spec_file(f"{tiny.spec().to_toml()}")
    top = path.read_text()
    arms = '[[runs]]\nname = "a"\n[[runs]]\nfork.of = "a"\nfork.at = { name = "at_step", step = 9 }\n'
    path = spec_file(f"{top}\n{arms}")
    resolved = say("show", path, "--resolved").out
    assert read_file(resolved) == read_file(path.read_text())
    assert say("show", spec_file(resolved), "--resolved").out == resolved


class TestAReport:
    """Where it goes, what it takes, and that its commands can be pasted."""

    def test_goes_where_it_is_told_and_leaves_the_store_alone(self, say, measurable, tmp_path) -> None:
        before = {path: path.stat().st_mtime_ns for path in measurable.rglob("*")}
        for out, page in (("there", "there/report.html"), ("page.html", "page.html")):
            said = say("report", measurable, "--out", tmp_path / out)
            assert said.code == 0
            assert (tmp_path / page).exists()
            assert str(tmp_path / page) in said.out
        assert {path: path.stat().st_mtime_ns for path in measurable.rglob("*")} == before

    def test_is_written_beside_a_writer_and_says_that_it_is_a_snapshot(self, say, measurable) -> None:
        with writing(measurable):
            writer = Writer(measurable, "worker-0")
            writer.begin(Store(measurable).runs[0].spec)
            writer.close()
            assert say("report", measurable).code == 0
        assert "A snapshot: of 1 run, 1 still running" in (measurable / "report.html").read_text()

    def test_prints_commands_that_work_from_anywhere(
        self, say, measurable: Path, tmp_path, monkeypatch
    ) -> None:
        monkeypatch.chdir(measurable.parent)
        assert say("report", measurable.name).code == 0
        page = html.unescape((measurable / "report.html").read_text())
        block = re.search(r'id="reproduce".*?<code>(.*?)</code>', page, re.DOTALL)
        assert block is not None
        monkeypatch.chdir(tmp_path.parent)
        source = str(Path(undergrowth.__file__).parent.parent)
        environment = {**os.environ, "PYTHONPATH": source, "THIS": sys.executable}
        shell = 'undergrowth() { "$THIS" -m undergrowth "$@"; }\nset -e\n' + block.group(1)
        (measurable / "report.html").unlink()
        subprocess.run(["bash", "-c", shell], env=environment, check=True, capture_output=True)
        assert (measurable / "report.html").exists()
        (again,) = Store(measurable.with_name(f"{measurable.name}-again")).runs
        assert again.id == tiny.spec().id


def test_what_never_fired_is_said_when_a_run_ends(say, spec_file, tmp_path) -> None:
    never = {"trigger": CROSSES, "action": {"name": "reset_moments"}}
    spec = tiny.spec(interventions=[never])
    said = say("run", spec_file(spec.to_toml()), "--out", tmp_path / "store")
    assert said.code == 0
    assert f"{spec.id}  done  " in said.out
    for told in (said.out, said.wrong):
        assert "never fired: reset_moments at val_accuracy ≥ 2\n" in told
    assert said.wrong.count("\n") == 1
