"""The page of a store says of imported runs where they come from, and what was assumed and checked."""

from __future__ import annotations

from pathlib import Path

import undergrowth as ug
from tests import tiny
from tests.imports.test_layouts import NORMED, curves_file, fused_files
from undergrowth.imports import import_run
from undergrowth.report.origins import origin_table
from undergrowth.report.own_runs import own_report, own_sections
from undergrowth.store.listing import listed, that_differ


def test_a_page_of_imported_runs(tmp_path: Path) -> None:
    store = tmp_path / "store"
    fused_files(tmp_path, tiny.made(NORMED, seed=3))
    curves_file(tmp_path / "alone.csv", loss_of_noise=[1.0, 2.0, 3.0])
    for name in ("net.pt", "alone.csv"):
        import_run(tmp_path / name, store)
    runs = ug.open(store).runs
    table = origin_table(runs)
    assert table is not None
    assert [row[0] for row in table.rows if "\u00a0" not in row[0]] == [
        ", ".join(run.called) for run in runs
    ]
    origin = next(run for run in runs if run.called == ("net",)).spec.origin
    assert origin is not None
    told = f"fused_qkv: net.pt (SHA-256 {origin.files[0].sha256[:8]}..), net.json"
    assert any(row[0] == "net" and row[1].startswith(told) for row in table.rows)
    split = "split: PyTorch's randperm with seed 4, the first 60%"
    assert ("\u00a0\u00a0assumed", split) in table.rows
    sections = {section.name: section for section in own_sections(runs)}
    assert {"imported", "recorded"} <= sections.keys()
    assert "nothing here has computed" in sections["recorded"].about
    page = own_report(runs, tmp_path / "page.html").read_text()
    assert "Where the imported runs come from" in page
    assert "exact GELU" in page


def test_a_page_of_ones_own_runs_has_no_such_table() -> None:
    assert origin_table([]) is None


def test_lists_of_runs_leave_digests_out(tmp_path: Path) -> None:
    for name, loss in (("a", 0.1), ("b", 0.2)):
        import_run(curves_file(tmp_path / f"{name}.csv", test_loss=[2.0, 3.0, loss]), tmp_path / "store")
    rows = [listed(run) for run in ug.open(tmp_path / "store").runs]
    assert that_differ(rows) == ()
    assert {row.settings["origin.dialect"] for row in rows} == {"curves"}
