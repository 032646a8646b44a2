"""A crate names every file with the digest of its bytes, and says what was found and with what."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import undergrowth as ug
from undergrowth.cli import main
from undergrowth.exports.ro_crate import METADATA
from undergrowth.published.reading import published, shipped

PUBLISHED = published(shipped())


def graph_of(folder: Path) -> dict[str, dict[str, Any]]:
    """By id the entities of a crate."""
    crate = json.loads((folder / METADATA).read_text())
    assert crate["@context"] == "https://w3id.org/ro/crate/1.1/context"
    ids = [entity["@id"] for entity in crate["@graph"]]
    assert len(ids) == len(set(ids))
    return {entity["@id"]: entity for entity in crate["@graph"]}


def references(value: object) -> list[str]:
    """The ids that an entity refers to."""
    if isinstance(value, dict):
        return (
            [value["@id"]]
            if set(value) == {"@id"}
            else [r for v in value.values() for r in references(v)]
        )
    return [r for each in value for r in references(each)] if isinstance(value, list) else []


@pytest.mark.parametrize("study", PUBLISHED)
def test_every_study_that_ships_becomes_a_crate(study: str, tmp_path: Path) -> None:
    its = ug.results(study)
    folder = ug.export(its, to="ro-crate", out=tmp_path / "crate")
    graph = graph_of(folder)
    names = {path.name for path in folder.iterdir()} - {METADATA}
    assert {part["@id"] for part in graph["./"]["hasPart"]} == names
    for name in names:
        content = (folder / name).read_bytes()
        assert graph[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert graph[name]["contentSize"] == str(len(content))
    for entity in graph.values():
        assert set(references(entity)) <= {*graph, "https://w3id.org/ro/crate/1.1"}
    for verdict in its.verdicts:
        if verdict["primary"]:
            found = graph[f"#claim-{verdict['claim']}"]
            assert found["description"].startswith(f"{verdict['ruling']}: ")
            assert found.get("value") == verdict["effect"]
    for name, version in its.about["versions"].items():
        assert graph[f"#{name}-{version}"]["softwareVersion"] == version
    assert graph["#training"]["description"].splitlines() == its.about["commands"]


def test_a_folder_of_results_becomes_a_crate_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(shipped() / "toy-heads", tmp_path / "toy-heads"))
    with pytest.raises(SystemExit) as ended:
        main(["export", str(folder), "--to", "ro-crate"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"{folder}  ")
    assert graph_of(folder)["./"]["name"] == "Results of the study toy-heads"
    assert ug.results("toy-heads", tmp_path).verdicts == ug.results("toy-heads").verdicts


def test_a_changed_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(shipped() / "toy-heads", tmp_path / "toy-heads"))
    with (folder / "values.csv").open("a") as file:
        file.write(" ")
    with pytest.raises(SystemExit) as ended:
        main(["export", str(folder), "--to", "ro-crate"])
    assert ended.value.code == 2
    assert "values.csv: its bytes are not those that were published" in capsys.readouterr().err
    assert not (folder / METADATA).exists()


def test_the_citation_has_the_version_and_what_a_citation_must_have() -> None:
    import re

    text = (Path(__file__).parents[2] / "CITATION.cff").read_text()
    fields = dict(re.findall(r"^([a-z-]+): *(.*)$", text, re.MULTILINE))
    assert fields["version"] == ug.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(fields)
    assert fields["license"] == "MIT"
