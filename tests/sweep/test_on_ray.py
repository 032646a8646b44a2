"""Sweeps on Ray, where it is installed; what is refused, everywhere."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.store.test_merging import contents
from tests.sweep.test_sharding import SPECS, TEXT
from undergrowth.cli import main
from undergrowth.store import Store, verify
from undergrowth.sweep import Layout, train
from undergrowth.sweep.ray_engine import OnRay, train_on_ray

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="ray is not installed: pip install 'undergrowth[ray]'",
)


def test_without_ray_a_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    spec_file = tmp_path / "spec.toml"
    spec_file.write_text(TEXT)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(spec_file), "--engine", "ray", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("undergrowth: ray cannot be imported (")
    assert said.endswith("pip install 'undergrowth[ray]'\n")
    assert said.count("\n") == 1
    with pytest.raises(ImportError, match=r"pip install 'undergrowth\[ray\]'"):
        train_on_ray(list(SPECS), tmp_path / "out")


@pytest.mark.parametrize("share", [-0.5, 1.5])
def test_a_share_that_ray_cannot_give_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"several workers share a GPU \(0\.25\), or one has whole"):
        OnRay(gpus_per_worker=share)
    with pytest.raises(ValueError, match="workers must be at least 1"):
        OnRay(workers=0)


@needs_ray
@pytest.mark.filterwarnings("default")
def test_ray_trains_what_one_worker_trains(tmp_path: Path) -> None:
    whole = train(list(SPECS), tmp_path / "whole", layout=Layout(workers=1))
    heard: list[str] = []
    store = train_on_ray(
        list(SPECS),
        tmp_path / "out",
        OnRay(workers=2),
        names=SPECS.names,
        progress=lambda told: heard.append(told.spec.id) if told.ended else None,
    )
    assert contents(store.root) == contents(whole.root)
    assert sorted(heard) == sorted(SPECS.ids())
    assert verify(store.root).damage == ()
    assert {run.given_names for run in Store(store.root).runs} == set(SPECS.names.values())
