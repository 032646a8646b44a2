"""A measure from a few words: by name, with fields, from a file; or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from undergrowth.measures import Deletion, Saliency
from undergrowth.measures.named import KINDS, measure_named
from undergrowth.spec import SpecError

MINE = """
from typing import Literal
from undergrowth.measures import Measure

class Mine(Measure):
    name: Literal["mine"] = "mine"
    size: int = 1

    @property
    def key(self):
        return "mine"

    def observe(self, model, data, at):
        return {}

two = Mine(size=2)
three = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_a_name_is_the_measure_with_its_defaults(name: str) -> None:
    assert measure_named(name) == KINDS[name]()


def test_fields_are_given_as_in_a_spec_file() -> None:
    heads = measure_named('{ name = "saliency", component = "head", prefix = "heads" }')
    assert heads == Saliency(component="head", prefix="heads")
    assert measure_named('{ name = "deletion", ks = [0, 3] }') == Deletion(ks=(0, 3))


def test_a_measure_of_ones_own_comes_from_its_file(file: Path) -> None:
    kind, value = measure_named(f"{file}:Mine"), measure_named(f"{file}:two")
    assert type(kind).__name__ == "Mine"
    assert (getattr(kind, "size", None), getattr(value, "size", None)) == (1, 2)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("salency", "no measure 'salency'; did you mean 'saliency'?"),
        ("entropy", "no measure 'entropy'; there are curves, predictions, "),
        ("{ name = 'saliency'", "is not an inline TOML table: write it as in a spec file"),
        ("component = 'head'", "is not an inline TOML table: write it as in a spec file"),
        ("{ component = 'head' }", "no measure None; there are"),
        ("{ name = 'saliency', nodes = 3 }", "measure 'saliency': saliency.nodes = 3: unknown key"),
        ("{ name = 'saliency', n_nodes = 0 }", "n_nodes = 0"),
        ("nowhere.py:Mine", "there is no file nowhere.py"),
    ],
)
def test_what_names_no_measure_is_told_in_one_line(text: str, wrong: str) -> None:
    with pytest.raises(SpecError) as caught:
        measure_named(text)
    assert wrong in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Yours", "three"])
def test_a_file_without_such_a_measure_is_told_in_one_line(file: Path, name: str) -> None:
    with pytest.raises(SpecError, match="has no measure of that name: define a Measure"):
        measure_named(f"{file}:{name}")
