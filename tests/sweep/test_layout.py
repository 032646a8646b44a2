"""How a machine is used: a layout that makes sense, and no trust in a plugin without its device."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import tiny
from undergrowth.store import verify
from undergrowth.store.layout import databases
from undergrowth.sweep import Layout, local, this_machine, train


@pytest.mark.parametrize("fields", [{"workers": 0}, {"workers": 1, "pack": 0}])
def test_a_layout_of_nothing_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1: raise it"):
        Layout(**fields)


def test_a_system_that_does_not_say_which_cores_are_ours_gives_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "_has_plugin", lambda: False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert this_machine(2) == Layout(workers=3)
    assert this_machine(8) == Layout(workers=1)


def test_a_plugin_without_an_accelerator_leaves_a_worker_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(local, "_has_plugin", lambda: True)
    monkeypatch.setattr(local, "_cores", lambda: 2)
    assert this_machine() == Layout(workers=1, pack=32)
    store = train([tiny.spec().seeded(seed) for seed in range(3)], tmp_path / "store")
    assert [run.status for run in store.runs] == ["done"] * 3
    assert [path.stem for path in databases(store.root)] == ["worker-0", "worker-1"]
    assert verify(store.root).damage == ()
