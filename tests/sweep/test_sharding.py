"""Shards: each run in one of them, forks with trunks, published as they end, merged bit for bit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given, strategies as st

from tests import tiny
from tests.store.test_merging import contents
from tests.sweep.test_pool import workers_of
from undergrowth.spec import RunSpec
from undergrowth.spec.file import read_grid
from undergrowth.spec.grid import grid
from undergrowth.store import Store, verify
from undergrowth.store.layout import create
from undergrowth.store.merging import merge, stores_in
from undergrowth.store.parts import names_of
from undergrowth.sweep import Layout, Progress, train
from undergrowth.sweep.planning import SHARDS, ended, fetch_trunks, finished, plan
from undergrowth.sweep.publishing import Shard, put_under_the_next_name
from undergrowth.sweep.shards import COSTLY, cost, dealt

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "docs/how-to/sweeps"
TEXT = (
    tomli_w.dumps(tiny.spec().model_dump(mode="json", exclude_none=True))
    + """
[sweep]
optimiser.lr = [0.01, 0.02]
seeds = "0-1"

[[runs]]
name = "trunk"

[[runs]]
name = "boost"
fork = { of = "trunk", at = { name = "at_step", step = 17 } }
[[runs.interventions]]
trigger = { name = "after_fork" }
action = { name = "scale_learning_rate", factor = 3.0 }
"""
)
SPECS = read_grid(TEXT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs, by one worker."""
    root = tmp_path_factory.mktemp("whole") / "store"
    train(list(SPECS), root, layout=Layout(workers=1), names=SPECS.names)
    return root


@st.composite
def families(draw: st.DrawFn) -> list[tuple[str, str | None, float]]:
    """Runs in any order, some of which fork from another."""
    n = draw(st.integers(1, 12))
    parents = [draw(st.none() | st.integers(0, i - 1)) if i else None for i in range(n)]
    runs = [
        (f"{i}", None if up is None else f"{up}", float(draw(st.integers(1, 9))))
        for i, up in enumerate(parents)
    ]
    return draw(st.permutations(runs))


@given(families(), st.integers(1, 5))
def test_each_run_is_in_one_shard_and_a_fork_with_its_trunk(
    runs: list[tuple[str, str | None, float]], n: int
) -> None:
    shards = [dealt(runs, which, n) for which in range(1, n + 1)]
    assert sorted(position for shard in shards for position in shard) == list(range(len(runs)))
    where = {runs[position][0]: k for k, shard in enumerate(shards) for position in shard}
    assert all(up is None or where[run_id] == where[up] for run_id, up, _ in runs)
    parents = {run_id: up for run_id, up, _ in runs}

    def trunk(run_id: str) -> str:
        up = parents[run_id]
        return run_id if up is None else trunk(up)

    weights: dict[str, float] = {}
    for run_id, _, weight in runs:
        weights[trunk(run_id)] = weights.get(trunk(run_id), 0.0) + weight
    loads = [sum(runs[position][2] for position in shard) for shard in shards]
    assert max(loads) <= sum(loads) / n + max(weights.values())


def test_a_grid_is_dealt_out_as_its_runs_are(tmp_path: Path) -> None:
    for which in (1, 2, 3):
        lazily, made = plan(SPECS, tmp_path, which, 3), plan(list(SPECS), tmp_path, which, 3)
        assert lazily.left == made.left
        assert lazily.todo == made.todo
    assert list(SPECS.tabulated(cost, COSTLY)) == [cost(spec) for spec in SPECS]


def test_what_costs_more_counts_more() -> None:
    base = tiny.spec()
    assert cost(base.replace(steps=60)) == 2 * cost(base)
    assert cost(base.replace(task={"name": "modular", "p": 7})) > cost(base)
    assert cost(base.replace(batch={"name": "mini", "batch_size": 5})) < cost(base)
    assert cost(SPECS[1]) == pytest.approx(cost(SPECS[0]) * 13 / 30)


def test_a_plan_is_what_no_store_has_finished(whole: Path, tmp_path: Path) -> None:
    assert plan(SPECS, whole).left == []
    found = plan(SPECS, tmp_path / "nothing")
    assert (found.n_runs, found.n_stored, len(found.todo)) == (8, 0, 8)
    assert found.todo == tuple(SPECS)
    assert found.names == SPECS.names
    assert [spec.id for spec in found.sample(4)] == [SPECS[i].id for i in (0, 2, 4, 6)]


def sharded(out: Path, which: int, of: int, work: Path, every: float = 0.0) -> int:
    found = plan(SPECS, out, which, of)
    create(out)
    shard = Shard(out, f"shard-{which}-of-{of}", work, every)
    failed = shard.train(found, layout=Layout(workers=1))
    shard.forget()
    return failed


def test_shards_merged_are_what_one_worker_trains(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for which in (1, 2):
        assert sharded(out, which, 2, tmp_path / f"work-{which}") == 0
        assert not (tmp_path / f"work-{which}").exists()
    published = stores_in(out / SHARDS)
    assert len(published) > 2  # as they came, not in the end only
    assert all(verify(store).damage == () or "parent" in str(verify(store)) for store in published)
    assert [len(finished(out))] == [8]
    merged = merge([out / SHARDS], out)
    assert (merged.runs, merged.several, merged.differing, merged.damaged) == (8, 0, (), ())
    assert contents(out) == contents(whole)
    assert verify(out).damage == ()
    assert names_of(out) == names_of(whole)
    assert plan(SPECS, out, 1, 5).left == []


def test_a_fork_whose_trunk_another_shard_published_begins_there(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    trunks = [spec for spec in SPECS if not spec.fork]
    create(out)
    early = Shard(out, "early", tmp_path / "early", every=1e9)
    early.train(plan(trunks, out), layout=Layout(workers=1))
    left = plan(SPECS, out)
    assert all(spec.fork for spec in left.todo)
    trained: list[str] = []

    def hear(told: Progress) -> None:
        trained.append(told.spec.id)

    later = Shard(out, "later", tmp_path / "later")
    later.train(left, layout=Layout(workers=1), progress=hear)
    assert set(trained) == {spec.id for spec in left.todo}  # no trunk is trained again
    local = tmp_path / "local"
    create(local)
    shutil.copytree(out / SHARDS, local / SHARDS)
    fetch_trunks(left, local)
    assert ended(local, "done") == {spec.id for spec in trunks}
    merge([out / SHARDS], out)
    assert contents(out) == contents(whole)


def test_overlapping_shards_come_to_one(whole: Path, tmp_path: Path) -> None:
    """As when a task is started twice, or the sweep is dealt out anew while old shards still train."""
    for number, (which, of) in enumerate([(1, 2), (2, 2), (1, 3)]):
        sharded(tmp_path / f"out-{number}", which, of, tmp_path / f"work-{number}", every=1e9)
    merged = merge([tmp_path / f"out-{number}/{SHARDS}" for number in range(3)], tmp_path / "all")
    assert (merged.runs, merged.differing) == (8, ())
    assert merged.several > 0
    assert contents(tmp_path / "all") == contents(whole)


def test_two_that_publish_under_one_name_both_have_a_place(tmp_path: Path) -> None:
    places = []
    for number in range(3):
        hidden = tmp_path / f".hidden-{number}"
        create(hidden)
        places.append(put_under_the_next_name(hidden, tmp_path, "shard-1-of-2").name)
    assert places == ["shard-1-of-2-0", "shard-1-of-2-1", "shard-1-of-2-2"]


LONG = RunSpec.from_dict(
    {**tiny.spec().model_dump(), "steps": 9_000, "checkpoints": {"every": 9_000, "until": 9_000}}
)
MANY = grid(LONG, {"optimiser.lr": [0.01, 0.02]}, seeds=range(4))
MANY_TEXT = (
    tomli_w.dumps(LONG.model_dump(mode="json", exclude_none=True))
    + '\n[sweep]\noptimiser.lr = [0.01, 0.02]\nseeds = "0-3"\n'
)


def swept(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "undergrowth", "sweep", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_workers_and_sweeps_killed_at_random_finish_each_run_once(tmp_path: Path) -> None:
    spec_file, out = tmp_path / "s.toml", tmp_path / "out"
    spec_file.write_text(MANY_TEXT)
    whole = train(list(MANY), tmp_path / "whole", layout=Layout(workers=1))
    rng = np.random.default_rng(0)
    killed = {"worker": 0, "sweep": 0}
    deadline = time.monotonic() + 400
    while True:
        assert time.monotonic() < deadline, killed
        process = swept(spec_file, "--out", out, "--workers", 4)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(rng.uniform(0.2, 0.8))
            busy = out.exists() and any(out.glob("readings/*.sqlite-wal"))
            workers = [worker.pid for worker in workers_of(process.pid)]
            if not busy or not workers:
                continue
            if killed["worker"] < 2:
                os.kill(int(rng.choice(workers)), signal.SIGKILL)
                killed["worker"] += 1
                time.sleep(1.0)
            elif killed["sweep"] < 1:
                process.kill()
                killed["sweep"] += 1
        if process.wait() == 0:
            break
    assert killed == {"worker": 2, "sweep": 1}
    rows = [row["run_id"] for row in Store(out).query("SELECT run_id FROM runs WHERE status = 'done'")]
    assert sorted(rows) == sorted(MANY.ids())
    assert contents(out) == contents(whole.root)
    assert verify(out).damage == ()


def test_a_shard_that_is_told_to_end_publishes_what_is_finished_and_goes_on(tmp_path: Path) -> None:
    spec_file, out, work = tmp_path / "s.toml", tmp_path / "out", tmp_path / "work"
    spec_file.write_text(MANY_TEXT)
    arguments = (spec_file, "--out", out, "--shard", "1/1", "--workers", 1, "--scratch", work)
    process = swept(*arguments)
    deadline = time.monotonic() + 200
    while not (work.exists() and ended_in(work)):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(120) == 130
    published = set(finished(out))
    assert published
    assert len(published) < len(MANY)
    assert swept(*arguments).wait(300) == 0
    assert set(finished(out)) == set(MANY.ids())
    assert not work.exists()


def ended_in(work: Path) -> bool:
    try:
        return bool(ended(work, "done"))
    except Exception:  # amid being made
        return False


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`undergrowth` as a command."""
    command = tmp_path / "bin/undergrowth"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m undergrowth "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")


@pytest.mark.usefixtures("on_path")
def test_the_script_for_a_slurm_array_trains_a_shard_each(whole: Path, tmp_path: Path) -> None:
    script = SCRIPTS / "slurm-array.sh"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(\S*)$", script.read_text(), re.MULTILINE))
    (shards,) = re.findall(r"SHARDS:-(\d+)", script.read_text())
    assert options["array"] == f"1-{shards}"
    assert options["signal"] == "B:TERM@120"
    spec_file, out = tmp_path / "s.toml", tmp_path / "out"
    spec_file.write_text(TEXT)
    for task in (1, 2):
        told = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_JOB_ID": "7", "SHARDS": "2"}
        environment = {**os.environ, **told, "TMPDIR": str(tmp_path)}
        subprocess.run(["bash", script, spec_file, out], env=environment, check=True)
    merge([out / SHARDS], out)
    assert contents(out) == contents(whole)


@pytest.mark.usefixtures("on_path")
def test_the_indexed_job_trains_a_shard_each(whole: Path, tmp_path: Path) -> None:
    text = (SCRIPTS / "kubernetes-job.yaml").read_text()
    completions = int(re.search(r"completions: (\d+)", text)[1])  # type: ignore[index]
    folded = re.search(r"- >-\n((?: {14}.*\n)+)", text)
    assert folded is not None
    line = " ".join(folded[1].split())
    assert f"+ 1))/{completions}" in line
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/spec.toml").write_text(TEXT)
    line = line.replace(f"))/{completions}", "))/2").replace("--workers 4", "--workers 1")
    line = line.replace("/sweep/", f"{tmp_path}/sweep/").replace("/scratch/", f"{tmp_path}/scratch-")
    for index in (0, 1):
        environment = {**os.environ, "JOB_COMPLETION_INDEX": str(index)}
        subprocess.run(["sh", "-c", line], env=environment, check=True)
    merge([tmp_path / "sweep/runs" / SHARDS], tmp_path / "sweep/runs")
    assert contents(tmp_path / "sweep/runs") == contents(whole)
