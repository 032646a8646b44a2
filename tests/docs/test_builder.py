"""What the site makes of the package: docstrings, pages of studies, the reference."""

from __future__ import annotations

import doctest
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

if "CI" not in os.environ:
    pytest.importorskip("sphinx", reason="the docs extra is not installed: make docs installs it")
sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

from builder import docstrings, estimates, plots, reference, studies, text

import undergrowth as ug
from undergrowth.published.reading import published, shipped

PUBLISHED = published(shipped())


@pytest.mark.parametrize(
    ("line", "turned"),
    [
        ("The mean of |s| over `steps`.", r"The mean of \|s\| over ``steps``."),
        ("w* and x_ and a_j", r"w\* and x\_ and a_j"),
        ("`a`s", "``a``\\ s"),
    ],
)
def test_a_docstring_keeps_its_characters(line: str, turned: str) -> None:
    assert docstrings.as_rst([line]) == [turned]


def test_indented_text_and_sessions_stay_as_they_are() -> None:
    assert docstrings.as_rst(["Read:", "", "    a * b", "", ">>> f(*x)", "1"]) == [
        "Read:",
        "",
        "::",
        "",
        "    a * b",
        "",
        ">>> f(*x)",
        "1",
    ]


def test_a_value_has_the_signature_of_its_fields() -> None:
    told, _ = docstrings._of_fields(None, "class", "", ug.Areas, None, "", "") or ("", "")
    assert "kind: Literal['xy_band', 'sum_band', 'block'] = 'xy_band'" in told
    assert "block: int = 8" in told


@pytest.mark.parametrize("name", ug.STUDIES)
def test_a_study_has_a_page_with_its_claims_arms_and_command(name: str) -> None:
    study = ug.STUDIES[name]
    page = studies.page_of(study, ug.results(name) if name in PUBLISHED else None)
    assert page.startswith(f"# {text.plain(study.question)}")
    for claim in study.claims:
        assert text.plain(claim.says) in page
    for hypothesis in study.hypotheses:
        assert text.plain(hypothesis) in page
    for arm in study.arms("full"):
        assert text.plain(arm.name) in page
    assert f"undergrowth study run {name}" in page
    assert ("No results of this study are published" in page) == (name not in PUBLISHED)


def test_a_page_has_the_ruling_and_interval_that_were_published() -> None:
    (verdict,) = [v for v in ug.results("toy-heads").verdicts if v["primary"]]
    page = studies.page_of(ug.STUDIES["toy-heads"], ug.results("toy-heads"))
    assert f"**{verdict['ruling']}**: {text.plain(verdict['says'])}" in page
    assert f"{verdict['n_seeds']} seeds" in page


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_figure_of_what_decides_has_the_published_values(name: str) -> None:
    its = ug.results(name)
    decided = [v for v in its.verdicts if v["primary"] and v["n_seeds"]]
    figure = estimates.estimates_figure(its)
    assert (figure is None) == (not decided)
    if figure is None:
        return
    table = figure.table
    for verdict in decided:
        rows = table[table["panel"].str.startswith(f"{verdict['claim']}, {verdict['ruling']}: ")]
        (estimate,) = rows.loc[rows["layer"] == "estimate", ["x", "low", "high"]].to_numpy().tolist()
        low, high = verdict["interval"]  # None: without an end on that side
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        assert estimate == [verdict["effect"], low, high]
        seeds = rows.loc[rows["y"] == estimates.SEEDS, "x"].to_numpy()
        values = its.values[its.values["endpoint"] == verdict["endpoint"]]
        mine = values.loc[values["arm"] == verdict["arm"], ["low", "high"]].to_numpy()
        assert len(seeds) == np.isfinite(mine).any(axis=1).sum()
        open_above = (rows["series"] == estimates.AT_LEAST).sum()
        assert open_above == (np.isfinite(mine[:, 0]) & np.isinf(mine[:, 1])).sum()
        if verdict["n_control"]:  # a difference of two arms' means
            assert float(seeds.mean()) == pytest.approx(verdict["effect"], rel=1e-4)
        assert verdict["sesoi"] in set(rows[rows["layer"] == "threshold"]["x"])


def test_a_figure_cannot_end_its_script() -> None:
    figure = estimates.estimates_figure(ug.results("toy-heads"))
    assert figure is not None
    html = plots.html_of(figure)
    assert html.count("</script>") == 1


def test_every_public_name_is_on_one_page_of_the_reference(tmp_path: Path) -> None:
    reference.write_pages(tmp_path)
    text = "\n".join(path.read_text() for path in tmp_path.glob("*.md"))
    found = re.findall(r"^\.\. auto\w+:: undergrowth\.(\w+)$", text, re.MULTILINE)
    assert sorted(found) == sorted(set(ug.__all__))


def test_every_command_is_in_the_reference() -> None:
    from undergrowth.cli import app

    text = reference.command_line()
    for name in app.resolved_commands():
        if not name.startswith("-"):
            assert f"`undergrowth {name}`" in text


@pytest.mark.parametrize("module", [docstrings, text])
def test_the_examples_in_the_builders_docstrings_hold(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_a_page_of_what_is_no_longer_there_is_removed(tmp_path: Path) -> None:
    for name in ("index", "there", "gone"):
        text.write(tmp_path / f"{name}.md", "# A page\n")
    text.forget(tmp_path, ["there"])
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["index", "there"]
