"""Tables of the user's own: what is read is what was written, and bad content is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from undergrowth.spec import RunSpec, SpecError
from undergrowth.tasks import FeatureTable, Group, Modular, Table

XOR = "x,y,label\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n"
FEATURES = "height,width,label\n0.5,-1e3,0\n2,.25,3\n"
CELLS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(-1, 9))


def counts_from_0(cells: np.ndarray) -> bool:
    """Whether there are two labels or more, one of them 0, and a cell in the first row or column."""
    labels = set(cells.ravel().tolist()) - {-1}
    return len(labels) > 1 and 0 in labels and max(cells[0].max(), cells[:, 0].max()) >= 0


@given(cells=CELLS.filter(counts_from_0))
def test_a_table_from_an_array_is_that_array(cells: np.ndarray) -> None:
    task = Table.of(cells)
    table = task.table()
    n = task.n_operands
    grown = np.full((max(n, len(cells)), max(n, cells.shape[1])), -1)
    grown[: len(cells), : cells.shape[1]] = cells
    assert (grown[:n, :n] == table).all()
    assert (grown[n:] == -1).all()
    assert (grown[:, n:] == -1).all()
    assert task.n_labels == cells.max() + 1


@pytest.mark.parametrize("task", [Modular(operation="x/y", p=7), Group(group="S4")])
def test_a_known_operation_is_the_same_as_a_table(task: Modular | Group) -> None:
    table = Table.of(task.table(), title=task.describe())
    assert (table.table() == task.table()).all()
    assert (table.n_operands, table.n_labels) == (task.n_operands, task.n_labels)
    assert (table.examples().inputs == task.examples().inputs).all()
    assert table.describe() == task.describe()


def test_cells_without_a_row_are_undefined() -> None:
    task = Table(csv="x,y,label\n0,2,5\n2,1,0\n")
    assert task.table().tolist() == [[-1, -1, 5], [-1, -1, -1], [-1, 0, -1]]
    assert (task.n_operands, task.n_labels, len(task.examples())) == (3, 6, 2)


@pytest.mark.parametrize(
    "written",
    [
        "x,y,label\n1,1,0\n0,1,1\n1,0,1\n0,0,0",
        "\ufeffx, y ,label\r\n0,0,0\r\n0,1,1\r\n\r\n1,0,1\r\n1,1,0\r\n",
        'x,y,"label"\n00,+0,0\n0,1,1\n1,0,"1"\n1,1,0\n',
    ],
    ids=["in another order", "from Windows", "with quotes"],
)
def test_a_table_is_its_content_however_it_was_written(written: str) -> None:
    assert Table(csv=written) == Table(csv=XOR)
    assert Table(csv=written).csv == XOR


def test_features_keep_their_order_and_names() -> None:
    task = FeatureTable(csv=FEATURES)
    assert task.csv == "height,width,label\n0.5,-1000.0,0\n2.0,0.25,3\n"
    assert task.examples().inputs.tolist() == [[0.5, -1000], [2, 0.25]]
    assert task.examples().labels.tolist() == [0, 3]
    assert task.n_labels == 4


@given(
    inputs=arrays(
        np.float32,
        st.tuples(st.just(5), st.integers(1, 4)),
        elements=st.floats(width=32, allow_nan=False),
    )
)
def test_every_float32_survives_being_written(inputs: np.ndarray) -> None:
    inputs = np.nan_to_num(inputs)
    task = FeatureTable.of(inputs, [0, 1, 4, 1, 0])
    assert (task.examples().inputs == inputs).all()
    assert FeatureTable.model_validate(task.model_dump()) == task


def test_a_file_is_read_and_becomes_the_value(tmp_path: Path) -> None:
    (tmp_path / "xor.csv").write_text(XOR)
    by_path = Table.model_validate({"path": str(tmp_path / "xor.csv")})
    assert by_path == Table(csv=XOR, title="xor")
    (tmp_path / "xor.csv").unlink()
    assert Table.model_validate(by_path.model_dump()) == by_path
    assert by_path.table().tolist() == [[0, 1], [1, 0]]


def test_a_relative_path_is_seen_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sizes.csv").write_text(FEATURES)
    monkeypatch.chdir(tmp_path)
    task = FeatureTable.model_validate({"path": "sizes.csv"})
    assert task == FeatureTable(csv=FEATURES, title="sizes")
    assert FeatureTable.model_validate({"path": Path("sizes.csv"), "title": "mine"}).describe() == "mine"


def test_a_run_with_a_file_is_the_run_with_its_content(tmp_path: Path) -> None:
    (tmp_path / "xor.csv").write_text("x,y,label\r\n1,1,0\r\n0,1,1\r\n1,0,1\r\n0,0,0\r\n")
    by_path = RunSpec.from_dict({"task": {"name": "table", "path": str(tmp_path / "xor.csv")}})
    by_content = RunSpec(task=Table(csv=XOR, title="xor"))
    assert by_path.id == by_content.id
    assert RunSpec.from_toml(by_path.to_toml()) == by_content


BAD_CELLS = [
    ("", "there is no row below the header"),
    ("\n\n", "there is no row below the header"),
    ("x,y,label\n", "there is no row below the header"),
    ("0,0,0\n0,1,1\n", "row 1 is '0,0,0': it must be the header, which is x,y,label"),
    (
        "0,1\n",
        "row 1 is '0,1': it must be the header, which is x,y,label with one row per cell below;",
    ),
    ("0,1,2\n1,2\n", "row 1 is '0,1,2': it must be the header, which is x,y,label"),
    ("e,a\na,3\n", "row 1, column 'label' is 'e'"),
    ("x y label\n0 0 0\n", "row 1 is 'x y label': it must be the header"),
    ("y,x,label\n0,0,0\n", "row 1 is 'y,x,label': it must be the header"),
    ("x,y,label\n0,0,0\n0,1\n", "row 3 has 2 cells, and the header 3: every row needs as many"),
    ("x,y,label\n0,0,0,0\n", "row 2 has 4 cells, and the header 3"),
    ("x,y,label\n\n0,0,\n", "row 3, column 'label' is '': it must be a whole number from 0 to 9999"),
    ("x,y,label\n0,0,a\n0,1,a\n", "every row has label a: there is nothing to learn"),
    ("x,y,label\n0,a,0\n0,1,1\n", "row 2, column 'y' is 'a': it must be a whole number from 0 to 1023"),
    ("x,y,label\n0,,1\n", "row 2, column 'y' is '': it must be a whole number from 0 to 1023"),
    ("x,y,label\n0,0,-1\n", "row 2, column 'label' is '-1': it must be a whole number from 0"),
    ("x,y,label\n0,0,1.0\n", "row 2, column 'label' is '1.0': it must be a whole number"),
    ("x,y,label\n1024,0,1\n", "row 2, column 'x' is '1024': it must be a whole number from 0 to 1023"),
    ("x,y,label\n0,0,10000\n", "row 2, column 'label' is '10000'"),
    (f"x,y,label\n0,0,{'9' * 5000}\n", "row 2, column 'label' is '99999999999999999...'"),
    ("x,y,label\n1_0,0,1\n", "row 2, column 'x' is '1_0'"),
    ("x,y,label\n2,3,0\n0,0,1\n2,3,1\n", "row 4 gives x = 2, y = 3 a label again, after row 2"),
    ("x,y,label\n0,0,3\n0,1,3\n", "every row has label 3: there is nothing to learn"),
    (f"x,y,label\n0,0,{'0' * 140_000}\n", "row 2 is not CSV (field larger than field limit"),
]


@pytest.mark.parametrize(("csv", "message"), BAD_CELLS, ids=range(len(BAD_CELLS)))
def test_a_bad_table_is_an_error_of_one_line(csv: str, message: str) -> None:
    assert_refused({"name": "table", "csv": csv}, f"task.csv: {message}")


BAD_FEATURES = [
    ("", "there is no row below the header"),
    ("1,2,0\n3,4,1\n", "row 1 is '1,2,0': it must be the header"),
    (
        "label\n0\n1\n",
        "row 1 is 'label': it must be the header, which names one column of numbers or more",
    ),
    ("a,label\n1,0\n1,0,1\n", "row 3 has 3 cells, and the header 2"),
    ("a,label\n1\n", "row 2 has 1 cell, and the header 2"),
    ("a,label\none,0\n1,1\n", "row 2, column 'a' is 'one': it must be a number that float32 can hold"),
    ("a,label\nnan,0\n1,1\n", "row 2, column 'a' is 'nan'"),
    ("a,label\n1,0\ninf,1\n", "row 3, column 'a' is 'inf'"),
    ("a,label\n1e39,0\n1,1\n", "row 2, column 'a' is '1e39'"),
    ("a,label\n1,0.5\n1,1\n", "row 2, column 'label' is '0.5': it must be a whole number from 0"),
    ("a,label\n1,0\n2,0\n", "every row has label 0"),
]


@pytest.mark.parametrize(("csv", "message"), BAD_FEATURES, ids=range(len(BAD_FEATURES)))
def test_a_bad_table_of_features_is_an_error_of_one_line(csv: str, message: str) -> None:
    assert_refused({"name": "feature_table", "csv": csv}, f"task.csv: {message}")


def test_more_numbers_than_there_is_room_for_are_refused() -> None:
    assert_refused(
        {"name": "feature_table", "csv": "x,y,label\n" + "0,0,0\n" * 333_334},
        "task.csv: there are more than 1000000 numbers",
    )
    assert_refused(
        {"name": "table", "csv": "x,y,label\n" + "0,0,0\n" * (1024**2 + 1)},
        "task.csv: there are more than 3145728 numbers",
    )


def test_a_table_of_a_million_cells_is_read() -> None:
    cells = np.add.outer(np.arange(1000), np.arange(1000)) % 1000
    square = "\n".join(",".join(map(str, row)) for row in cells.tolist())
    assert (Table(csv=square).table() == cells).all()


KLEIN = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
WORDS = "e,a,b,c\na,e,c,b\nb,c,e,a\nc,b,a,e"


@pytest.mark.parametrize(
    "csv",
    [
        "0,1,2,3\n1,0,3,2\n2,3,0,1\n3,2,1,0\n",
        "0;1;2;3\n1;0;3;2\n2;3;0;1\n3;2;1;0\n",
        "0\t1\t2\t3\n1\t0\t3\t2\n2\t3\t0\t1\n3\t2\t1\t0\n",
        "1,2,3,4\n2,1,4,3\n3,4,1,2\n4,3,2,1\n",
        ",0,1,2,3\n0,0,1,2,3\n1,1,0,3,2\n2,2,3,0,1\n3,3,2,1,0\n",
        "*,1,2,3,4\n1,1,2,3,4\n2,2,1,4,3\n3,3,4,1,2\n4,4,3,2,1\n",
        "*,0,2,1,3\n0,0,2,1,3\n2,2,0,3,1\n1,1,3,0,2\n3,3,1,2,0\n",
        "x*y,e,a,b,c\ne,e,a,b,c\na,a,e,c,b\nb,b,c,e,a\nc,c,b,a,e\n",
    ],
    ids=[
        "bare",
        "semicolons",
        "tabs",
        "from 1",
        "header",
        "header from 1",
        "header not in order",
        "words",
    ],
)
def test_a_square_table_is_a_table(csv: str) -> None:
    task = Table(csv=csv)
    assert (task.table() == KLEIN).all()
    assert RunSpec(task=task).id == RunSpec(task=Table.of(KLEIN)).id
    assert Table.model_validate(task.model_dump()) == task


def test_words_are_numbered_and_told_back() -> None:
    bare, headed = Table(csv=WORDS), Table(csv="*,e,a,b,c\n" + with_first(WORDS))
    assert bare.label_names == ("a", "b", "c", "e")
    assert [[bare.label_names[label] for label in row] for row in bare.table()] == split(WORDS)
    assert headed.operand_names == headed.label_names == ("e", "a", "b", "c")
    assert (headed.table() == KLEIN).all()
    listed = Table(csv="x,y,label\nb,a,no\na,b,yes\n")
    assert (listed.operand_names, listed.label_names) == (("a", "b"), ("no", "yes"))
    assert listed.table().tolist() == [[-1, 1], [0, -1]]
    assert 'label_names = [\n    "no"' in RunSpec(task=listed).to_toml()


def split(square: str) -> list[list[str]]:
    return [row.split(",") for row in square.split("\n")]


def with_first(square: str) -> str:
    return "\n".join(f"{row.split(',')[0]},{row}" for row in square.split("\n"))


def test_an_empty_cell_of_a_square_is_undefined() -> None:
    assert Table(csv="0,1\n1,\n").table().tolist() == [[0, 1], [1, -1]]
    assert Table(csv="0,1,2\n1,2,\n2,,\n").table().tolist() == [[0, 1, 2], [1, 2, -1], [2, -1, -1]]


def test_numbers_from_1_count_from_0_and_are_told_back() -> None:
    task = Table(csv="x,y,label\n1,1,1\n1,2,2\n2,2,3\n")
    assert task.table().tolist() == [[0, 1], [-1, 2]]
    assert (task.operand_names, task.label_names) == (("1", "2"), ("1", "2", "3"))
    features = FeatureTable(csv="a,label\n0.5,1\n1.5,2\n")
    assert (features.examples().labels.tolist(), features.n_labels) == ([0, 1], 2)
    assert features.label_names == ("1", "2")


def test_words_label_examples_too() -> None:
    task = FeatureTable(csv="a;label\n0.5;setosa\n1.5;iris\n2.5;setosa\n")
    assert task.examples().labels.tolist() == [1, 0, 1]
    assert task.label_names == ("iris", "setosa")
    assert task.csv == "a,label\n0.5,1\n1.5,0\n2.5,1\n"


def test_a_title_or_names_make_no_other_run() -> None:
    first, other = Table(csv=XOR, title="first"), Table(csv=XOR, title="b", label_names=("no", "yes"))
    assert RunSpec(task=first).id == RunSpec(task=other).id == RunSpec(task=Table(csv=XOR)).id
    assert other.label_names == ("no", "yes")


@pytest.mark.parametrize("names", [("no",), ("no", "no"), ("no", "yes", "perhaps")])
def test_names_are_one_for_each_number(names: tuple[str, ...]) -> None:
    assert_refused({"name": "table", "csv": XOR, "label_names": names}, "but there are 2 to name: give")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have_is_an_error_of_one_line(name: str) -> None:
    assert_refused({"name": "table", "path": name}, "' is not a file (relative to")


@pytest.mark.parametrize("name", ["table", "feature_table"])
@pytest.mark.parametrize("fields", [{}, {"csv": XOR, "path": "xor.csv"}, {"path": 3}])
def test_either_text_or_a_file_is_needed(name: str, fields: dict[str, Any]) -> None:
    assert_refused(
        {"name": name, **fields},
        f"a {name} needs either csv, its text, or path, a file's name: give one",
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"x,y,label\n\xff\xfe,0,0\n")
    (tmp_path / "bad.csv").write_text("x,y,label\n0,0,0\n0,1,no\n")
    for name, message in (
        ("none.csv", "none.csv' is not a file (relative to"),
        ("", "' is not a file"),
        ("bytes.csv", "bytes.csv' cannot be read as UTF-8 text"),
        ("bad.csv", "task: bad.csv: row 3, column 'label' is 'no'"),
    ):
        assert_refused({"name": "table", "path": str(tmp_path / name)}, message)


@pytest.mark.parametrize("title", ["", "two\nlines", "x" * 81])
def test_a_title_is_one_short_line(title: str) -> None:
    assert_refused({"name": "table", "csv": XOR, "title": title}, "task.title = ")


@pytest.mark.parametrize("table", [[0, 1], [[0.0, 1.0]], [[[0, 1]]]])
def test_what_is_no_matrix_of_whole_numbers_is_no_table(table: Any) -> None:
    with pytest.raises(ValueError, match=r"table has shape .*: give an integer array \[x, y\]"):
        Table.of(table)


def test_labels_below_minus_one_are_refused() -> None:
    with pytest.raises(SpecError, match="row 3, column 'label' is '-2'"):
        Table.of([[0, -2], [1, -1]])


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        ([1.0, 2.0], [0, 1]),
        ([[1.0], [2.0]], [0, 1, 1]),
        ([[1.0], [2.0]], [0.0, 1.0]),
        ([["a"], ["b"]], [0, 1]),
    ],
)
def test_examples_that_do_not_fit_together_are_refused(inputs: Any, labels: Any) -> None:
    with pytest.raises(ValueError, match=r"inputs have shape .*: give numbers"):
        FeatureTable.of(inputs, labels)


def assert_refused(task: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        RunSpec.from_dict({"task": task})
    told = str(caught.value)
    assert message in told
    assert "\n" not in told
    assert len(told) < 400
