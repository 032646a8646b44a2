"""Files that would do harm are refused in one line, and nothing in them is run."""

from __future__ import annotations

import copyreg
import pickle
import pickletools
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.imports import canary, hostile
from tests.imports.torch_writer import STOP, Pickler, archive, integer, saved, storage, tensor, tuple_of
from undergrowth.cli.entry import exit_code
from undergrowth.imports import ForeignFileError, import_runs
from undergrowth.imports.files import read
from undergrowth.imports.pickles import plain
from undergrowth.imports.torch_files import read_torch

FILES = hostile.files()


@pytest.fixture(autouse=True)
def _nothing_fired() -> Iterator[None]:
    canary.fired.clear()
    copyreg.add_extension(hostile.HERE, "fire", hostile.EXTENSION)
    yield
    copyreg.remove_extension(hostile.HERE, "fire", hostile.EXTENSION)
    canary.fired.clear()


def test_there_are_many() -> None:
    assert len(FILES) >= 100
    assert len(hostile.RUN) >= 25


@pytest.mark.parametrize("name", hostile.RUN)
def test_what_is_hostile_would_run_in_pythons_own_unpickler(name: str) -> None:
    pickle.loads(b"\x80\x02" + hostile.RUN[name] + b".")
    assert canary.fired


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_in_one_line_and_nothing_is_run(name: str, tmp_path: Path) -> None:
    ending, content = FILES[name]
    path = tmp_path / f"file{ending}"
    path.write_bytes(content)
    loaded = set(sys.modules)
    with pytest.raises(ForeignFileError) as caught:
        import_runs(path, tmp_path / "store")
    assert not canary.fired
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not {"os.path", "subprocess", "torch"} & (set(sys.modules) - loaded)
    assert sorted(tmp_path.iterdir()) == [path]  # not even a store was made


def test_a_hostile_file_says_one_line_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(FILES["os_system"][1])
    assert exit_code(["import", str(path), "--as", str(tmp_path / "store")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("undergrowth: evil.pt: its pickle names os.system")
    assert told.err.count("\n") == 1


def test_a_memo_with_a_huge_place_takes_no_memory() -> None:
    found = plain(b"\x80\x02}r\xff\xff\xff\xff.", lambda *_: np.zeros(0))
    assert found == {}


def test_deep_nesting_is_a_value_like_any_other() -> None:
    found = plain(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", lambda *_: np.zeros(0))
    assert len(found) == 1


def test_values_come_back_as_they_were_saved(tmp_path: Path) -> None:
    value = {
        "model": {"W": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True, False])},
        "losses": [0.5, 1.0],
        "step": np.array(7.0),
        "flags": (True, None, "text", -3),
        ("add", 42): 1,
    }
    path = tmp_path / "file.pt"
    path.write_bytes(saved(value))
    found = read(path).held
    assert found["losses"] == [0.5, 1.0]
    assert found["flags"] == (True, None, "text", -3)
    assert found["add", 42] == 1
    assert found["step"].shape == ()
    np.testing.assert_array_equal(found["model"]["W"], value["model"]["W"])
    np.testing.assert_array_equal(found["model"]["b"], value["model"]["b"])
    with pytest.raises(ValueError, match="read-only"):
        found["model"]["W"][0, 0] = 1


def test_a_tensor_may_be_a_view_with_strides_of_its_own() -> None:
    parts = integer(1), tuple_of(integer(2), integer(2)), tuple_of(integer(1), integer(2))
    opcodes = b"\x80\x02" + tensor(storage("FloatStorage", "0", 6), *parts) + STOP
    found = plain(opcodes, lambda *_: np.arange(6, dtype=np.float32))
    np.testing.assert_array_equal(found, [[1, 3], [2, 4]])
    assert Pickler().of(None)


def test_mutated_files_are_read_or_refused_and_nothing_else() -> None:
    rng, pickler = np.random.default_rng(0), Pickler()
    value = {"model": OrderedDict(W=np.ones((3, 2), np.float32)), "l": [1.0], "t": (1, None, "abc")}
    whole = b"\x80\x02" + pickler.of(value) + b"."
    opcodes = [ord(opcode.code) for opcode in pickletools.opcodes]
    read, refusals = 0, []
    for _ in range(2000):
        mutated = bytearray(whole)
        for at in rng.integers(len(whole), size=rng.integers(1, 4)):
            mutated[at : at + rng.integers(2)] = bytes([opcodes[rng.integers(len(opcodes))]])
        try:
            read_torch(archive(bytes(mutated), pickler.storages))
            read += 1
        except ForeignFileError as error:
            refusals.append(str(error))
    assert len(refusals) > 1000
    assert not any("\n" in refusal for refusal in refusals)
    assert read > 0
    assert not canary.fired
