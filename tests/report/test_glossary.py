"""The glossary: the page in docs says what reports say, and its words are used there."""

from __future__ import annotations

from pathlib import Path

import pytest

from undergrowth.report.glossary import GLOSSARY

ROOT = Path(__file__).parents[2]


def test_the_docs_say_the_same() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("* ")]
    assert lines == [f"* **{word}**: {meaning}" for word, meaning in GLOSSARY.items()]


@pytest.mark.parametrize("word", GLOSSARY)
def test_its_words_are_used(word: str) -> None:
    sources = [*ROOT.glob("docs/*.md"), *(ROOT / "src/undergrowth/studies").rglob("*.py")]
    texts = [path.read_text() for path in sources if path.name != "glossary.md"]
    assert any(word.lower() in text.lower() for text in texts)
