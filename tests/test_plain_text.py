"""Text of any origin is shown without being obeyed, quoted so that a shell means it, and is JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from hypothesis import given, strategies as st

from undergrowth.plain_text import command, in_one_line, json_text, visible

PATHS = st.binary(min_size=1, max_size=12).filter(lambda name: 0 not in name).map(os.fsdecode)


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    for shown in (visible(text), in_one_line(text)):
        assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in shown)
        assert not any(0xD800 <= ord(each) < 0xE000 for each in shown)
        assert not set("\u2028\u2029\u202e") & set(shown)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"], include_characters=" ")))
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@given(st.lists(PATHS, min_size=1, max_size=4))
def test_a_command_means_its_words_to_the_shell(words: list[str]) -> None:
    code = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    line = command(sys.executable, "-S", "-c", code, *words)
    said = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert said.stdout.split(b"\0") == [os.fsencode(word) for word in words]
    assert line.isprintable()


@given(st.recursive(st.floats() | st.text() | st.integers(), st.lists))
def test_json_holds_nothing_that_json_has_not(value: object) -> None:
    def refused(constant: str) -> None:
        raise AssertionError(constant)

    text = json_text(value)
    json.loads(text, parse_constant=refused)
    assert text.isascii()
