"""Every example in a docstring of the package is run."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import undergrowth

PACKAGE = Path(undergrowth.__file__).parent


def docstrings(file: Path) -> Iterator[tuple[str, str]]:
    """(name, docstring) of all in a module, read from the source, so that no decorator hides one."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text and ">>>" in text:
                yield getattr(node, "name", file.stem), text


EXAMPLES = [
    (file, name, text) for file in sorted(PACKAGE.rglob("*.py")) for name, text in docstrings(file)
]


@pytest.mark.parametrize(
    ("file", "name", "text"), EXAMPLES, ids=[f"{file.stem}.{name}" for file, name, _ in EXAMPLES]
)
def test_the_example_gives_what_it_says(file: Path, name: str, text: str) -> None:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(p for p in parts if p != "__init__"))
    example = doctest.DocTestParser().get_doctest(text, dict(vars(module)), name, str(file), 0)
    assert example.examples
    outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert outcome.attempted == len(example.examples)
    assert outcome.failed == 0


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5
