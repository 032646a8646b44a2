"""The next character: the text that is fixed, windows that come once, and blocks that stay whole."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from undergrowth.spec import RunSpec, SpecError
from undergrowth.tasks import Characters, WholeGroups, make_data
from undergrowth.tasks.characters import ALPHABET, _text

TASK = Characters(n_characters=3000)
TEXT = "".join(ALPHABET[code] for code in _text())


def windows(task: Characters) -> list[str]:
    codes = task.examples().inputs.reshape(-1, task.window, len(ALPHABET)).argmax(axis=-1)
    return ["".join(ALPHABET[code] for code in window) for window in codes]


def test_the_text_never_changes_for_runs_do_not_hold_it() -> None:
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert digest == "6d88410b1644c1fffb05dccd56a75e67c1f5ea7c4eb911f4f752ad46087c69b9"
    assert len(TEXT) == 21_699
    assert set(TEXT) == set(ALPHABET)


def test_each_window_is_of_the_text_with_the_character_after_its_first_place() -> None:
    starts = TASK._starts()
    for window, label, start in zip(windows(TASK), TASK.examples().labels, starts, strict=True):
        assert TEXT[start : start + TASK.window] == window
        assert TEXT[start + TASK.window] == ALPHABET[label]
    inside = starts % TASK.block
    assert inside.max() + TASK.window < TASK.block  # label included, so that blocks share nothing


def test_inputs_are_one_hot() -> None:
    inputs = TASK.examples().inputs.reshape(-1, TASK.window, len(ALPHABET))
    assert set(np.unique(inputs)) == {0.0, 1.0}
    assert (inputs.sum(axis=-1) == 1).all()


def test_no_window_of_validation_is_in_training_and_no_block_on_both_sides() -> None:
    data = make_data(TASK, WholeGroups(frac_train=0.7), "true", 0)
    told = np.array(windows(TASK))
    assert not set(told[data.is_train]) & set(told[data.is_val])
    assert not set(TASK.groups()[data.is_train]) & set(TASK.groups()[data.is_val])
    assert data.n_train == pytest.approx(0.7 * len(told), abs=TASK.block)


def test_a_longer_text_begins_with_the_shorter_one() -> None:
    shorter, longer = TASK.examples(), Characters(n_characters=4000).examples()
    assert (longer.inputs[: len(shorter)] == shorter.inputs).all()


@pytest.mark.parametrize("block", [5, 1501])
def test_a_block_without_room_is_refused_in_one_line(block: int) -> None:
    with pytest.raises(SpecError, match=f"block = {block} must hold a window of 5.*take 6 to 1500") as e:
        RunSpec.from_dict(
            {
                "task": {"name": "characters", "n_characters": 3000, "block": block},
                "model": {"name": "mlp"},
            }
        )
    assert "\n" not in str(e.value)
