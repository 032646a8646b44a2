"""`sweep`, `merge` and `prune` as they are typed: what they say, exit codes, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from tests import tiny
from tests.commands import ran
from tests.test_cli import Said
from undergrowth.spec.file import read_grid
from undergrowth.store import Store, verify
from undergrowth.store.parts import parts_of
from undergrowth.store.predicted import stated
from undergrowth.studies import STUDIES
from undergrowth.studies.arm import of_arms
from undergrowth.sweep.expecting import WORTH_A_TRIAL, expected

TEXT = (
    tomli_w.dumps(tiny.spec().model_dump(mode="json", exclude_none=True))
    + '\n[sweep]\noptimiser.lr = [0.01, 0.02]\nseeds = "0-1"\n'
)

Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process."""

    return lambda *arguments: Said(*ran(capsys, *arguments))


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec file of four runs."""
    path = tmp_path / "spec.toml"
    path.write_text(TEXT)
    return path


def test_a_sweep_is_planned_trained_sharded_merged_and_pruned(
    say: Say, spec: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    plan = json.loads(say("sweep", spec, "--out", out, "--dry-run", "--json").out)
    assert (plan["runs"], plan["stored"], plan["to_train"]) == (4, 0, 4)
    assert not out.exists()
    said = say("sweep", spec, "--out", out, "--shard", "1/2", "--scratch", tmp_path / "work")
    assert said.code == 0
    assert "4 runs, 0 stored, 2 to train in shard 1/2" in said.out
    assert "shard 1/2 is done: 2 of 4 runs are stored" in said.out
    assert not Store(out).runs  # what is published lies in shards
    said = say("sweep", spec, "--out", out, "--workers", 1)
    assert said.code == 0
    assert "4 runs, 2 stored, 2 to train: about " in said.out
    assert "(by 2 stored runs like these)" in said.out
    assert len(Store(out).runs) == 2
    said = say("merge", out / "shards", "--into", out)
    assert (said.code, said.out) == (0, f"4 runs in {out}, 2 of them new\n")
    found = json.loads(say("merge", out / "shards", "--into", out, "--json").out)
    assert (found["runs"], found["new"], found["several"]) == (4, 0, 2)
    assert {run.id for run in Store(out).runs} == set(read_grid(TEXT).ids())
    assert {run.given_names for run in Store(out).runs} == {("lr=0.01",), ("lr=0.02",)}
    said = say("sweep", spec, "--out", out)
    assert (said.code, said.out.splitlines()[0][:20]) == (0, "4 runs, 0 of them ne")
    said = say("prune", out)
    assert (said.code, "8 checkpoints" in said.out, "(--checkpoints --yes)" in said.out) == (
        0,
        True,
        True,
    )
    assert all(run.checkpoints == (0, 10, 20, 30) for run in Store(out).runs)
    said = say("prune", out, "--checkpoints", "--yes")
    assert said.code == 0
    assert said.out.startswith("8 checkpoints, ")
    assert "removed" in said.out
    assert all(run.checkpoints == (0, 30) for run in Store(out).runs)
    assert verify(out).damage == ()


def test_arms_of_a_study_are_swept_with_their_trunks(say: Say, tmp_path: Path) -> None:
    def plan(*arms: str) -> int:
        given = [part for arm in arms for part in ("--arm", arm)]
        asked = ("sweep", "forgetting", "--seeds", 1, "--workers", 4, "--out", tmp_path / "out", *given)
        return json.loads(say(*asked, "--dry-run", "--json").out)["runs"]

    whole = STUDIES["forgetting"].planned("quick", 1)
    some = of_arms(whole, ["leak 0: withheld, decay off"])
    assert plan() == len({each.spec.id for each in whole})
    assert plan("leak 0: withheld, decay off") == len({each.spec.id for each in some}) < plan()
    assert {each.spec.fork is None for each in some} == {True, False}
    said = say("sweep", "forgetting", "--arm", "nothing of this", "--out", tmp_path / "out", "--dry-run")
    assert (said.code, "--arm 'nothing of this' is in no arm's name" in said.wrong) == (2, True)


def test_a_spec_file_has_no_arms(say: Say, spec: Path, tmp_path: Path) -> None:
    said = say("sweep", spec, "--arm", "boost", "--out", tmp_path / "out")
    assert said.code == 2
    assert f"--arm boost: only a study has arms, and {spec} is none: leave it out" in said.wrong


def test_a_sweep_of_a_study_keeps_parts_and_predictions(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from undergrowth.store import Part
    from undergrowth.studies import STUDIES
    from undergrowth.studies.arm import Planned

    few = tuple(
        Planned(tiny.spec().seeded(seed), Part("transfer", "quick", "arm", "control", seed))
        for seed in (0, 1)
    )
    study = STUDIES["transfer"]
    assert study.predicted is not None
    monkeypatch.setattr(type(study), "planned", lambda *_: few)
    out, work = tmp_path / "out", tmp_path / "work"
    said = say("sweep", "transfer", "--out", out, "--shard", "2/2", "--scratch", work)
    assert said.code == 0
    assert stated(out, "transfer", "quick") is not None
    assert say("merge", out / "shards", "--into", out).code == 0
    (run,) = Store(out).runs
    assert parts_of(out) == {run.id: (few[run.spec.seeds.model].part,)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "SPEC", "--shard", "0/4"], "--shard 0/4: not which of how many: give 1/16"),
        (["sweep", "SPEC", "--shard", "5/4"], "--shard 5/4: not which of how many"),
        (["sweep", "SPEC", "--shard", "a"], "--shard a: not which of how many"),
        (["sweep", "SPEC", "--workers", "0"], "--workers 0: nothing is trained by none: give 1 or more"),
        (
            ["sweep", "SPEC", "--address", "auto"],
            "--address auto: only Ray has use for it: add --engine",
        ),
        (
            ["sweep", "SPEC", "--engine", "ray", "--shard", "1/2"],
            "--shard 1/2: Ray deals out the runs its",
        ),
        (["sweep", "SPEC", "--json"], "--json: a plan can be printed as JSON: add --dry-run"),
        (["sweep", "SPEC", "--seeds", "a"], "--seeds a: neither a number of seeds nor a range"),
        (["sweep", "nowhere.toml"], "nowhere.toml: No such file or directory: give a spec file"),
        (["run", "SPEC", "--seeds", "0"], "--seeds 0: nothing to train without a seed"),
        (["merge", "nowhere", "--into", "OUT"], "nowhere is not an undergrowth store"),
        (["prune", "OUT", "--yes"], "--yes: nothing chosen: add --checkpoints, --failed or both"),
        (["prune", "nowhere"], "nowhere is not an undergrowth store"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    say: Say,
    spec: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    stands_for = {"SPEC": spec, "OUT": tmp_path / "out"}
    said = say(*(stands_for.get(word, word) for word in arguments))
    assert said.code == 2
    assert said.wrong.startswith(f"undergrowth: {message}"), said.wrong
    assert said.wrong.count("\n") == 1


def test_a_forecast_rests_on_like_runs_or_on_a_trial_or_says_that_there_is_none(tmp_path: Path) -> None:
    from undergrowth.sweep import Layout, train

    spec = tiny.spec()
    store = train([spec.seeded(seed) for seed in range(3)], tmp_path / "store", layout=Layout(workers=1))
    todo = [spec.seeded(seed) for seed in range(10, 16)]
    by_stored = expected(todo, [store.root])
    assert by_stored.says == "by 3 stored runs like these"
    took = sorted(run.ended - run.began for run in store.runs if run.ended is not None)
    assert by_stored.seconds == pytest.approx(6 * took[1])
    assert expected(todo, [store.root], workers=2).seconds == pytest.approx(3 * took[1])
    assert expected(todo, [store.root], times=10).bytes == pytest.approx(10 * by_stored.bytes)
    files = sum(path.stat().st_size for path in (store.root / "runs").rglob("*") if path.is_file())
    assert 2 * files <= by_stored.bytes <= 4 * files
    unknown = expected(todo, [])
    assert (unknown.seconds, unknown.says) == (None, "no like run is stored, and few are to be trained")
    timed = expected(todo, [], times=WORTH_A_TRIAL * 300)
    assert timed.says == "1 kind of run timed"
    assert timed.seconds is not None
    assert timed.seconds > 0
