"""CSV texts of tables, of features and of weights: each is refused in one line, or read as csv reads it.

python -m tests.campaigns.csvs --n 2000 --seed 0
"""

from __future__ import annotations

import csv
import io
import random
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.campaigns.command import parser, tell
from tests.campaigns.specs import unlike_a_line
from undergrowth.spec import RunSpec, SpecError
from undergrowth.tasks import Table

CELLS = (
    *("0", "1", "2", "3", "7", "00", "+1", "-1", "1.0", "1e3", "1023", "1024", "9999", "10000"),
    *(
        "",
        " ",
        "a",
        "b",
        "é",
        "nan",
        "inf",
        "1e39",
        "1e-50",
        "1_0",
        "٣",
        "0x1",
        "1,5",
        '"',
        "\x00",
        "a\nb",
    ),
    *("9" * 400, "x" * 5000, "=1+1", "true"),
)
HEADERS = (["x", "y", "label"], ["X", "Y", "Label"], ["y", "x", "label"], ["a", "label"], ["a"])
DELIMITERS = ",;\t"


def a_table(rng: random.Random) -> str:
    """A list of cells, or a square, most often sound but for a cell or two."""
    n, words = rng.randrange(1, 7), rng.random() < 0.3
    name = (lambda i: "abcdefghij"[i]) if words else (lambda i: str(i + shift))
    shift = rng.choice((0, 0, 1, 2))
    cells = [[name(rng.randrange(n)) for _ in range(n)] for _ in range(n)]
    if rng.random() < 0.5:
        rows = [["x", "y", "label"]]
        rows += [[name(x), name(y), cells[x][y]] for x in range(n) for y in range(n)]
    elif rng.random() < 0.5:
        rows = [["*", *map(name, range(n))], *([name(i), *row] for i, row in enumerate(cells))]
    else:
        rows = cells
    return _spoilt(rows, rng)


def features(rng: random.Random) -> str:
    """Numbers and a label in each row, most often sound but for a cell or two."""
    width, n = rng.randrange(1, 5), rng.randrange(1, 12)
    rows = [[*(f"x{i}" for i in range(width)), "label"]]
    for _ in range(n):
        numbers = [
            repr(rng.choice((rng.gauss(0, 1), rng.randrange(9), 1e-3 * rng.random())))
            for _ in range(width)
        ]
        rows.append([*numbers, str(rng.randrange(3) + 1)])
    return _spoilt(rows, rng)


def _spoilt(rows: list[list[str]], rng: random.Random) -> str:
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        row = rng.choice(rows)
        change = rng.randrange(6)
        if change < 3 and row:
            row[rng.randrange(len(row))] = rng.choice(CELLS)
        elif change == 3:
            row.append(rng.choice(CELLS))
        elif change == 4:
            rows.append(list(row))
        else:
            rows[0] = list(rng.choice(HEADERS))
    if rng.random() < 0.2:
        rng.shuffle(rows)
    text = io.StringIO()
    delimiter = rng.choice(DELIMITERS)
    csv.writer(text, delimiter=delimiter, lineterminator=rng.choice(("\n", "\r\n"))).writerows(rows)
    told = text.getvalue()
    return rng.choice(
        (told, told, told, "\ufeff" + told, told[: rng.randrange(len(told) + 1)], "\n" + told)
    )


def weights(rng: random.Random) -> list[Any]:
    """Numbers as weights of four examples, extremes among them."""
    extremes = (
        0,
        1,
        0.0,
        -0.0,
        -1,
        1e308,
        3.4e38,
        1e39,
        1.2e-38,
        1e-300,
        5e-324,
        float("nan"),
        True,
        "1",
    )
    return [
        rng.choice(extremes) if rng.random() < 0.5 else rng.random()
        for _ in range(rng.choice((3, 4, 4, 4)))
    ]


def outcome(kind: str, rng: random.Random) -> tuple[str, str, str]:
    """How a text fared, what is wrong with that (empty where nothing is), and the text."""
    text = {"table": a_table, "feature_table": features}[kind](rng) if kind != "weights" else ""
    given = weights(rng) if kind == "weights" else None
    fields: dict[str, Any] = {"task": {"name": kind, "csv": text}, "model": {"name": "mlp"}}
    if given is not None:
        xor = {"name": "table", "csv": "x,y,label\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n"}
        fields = {"task": xor, "weights": {"name": "given", "values": given}}
        fields["split"] = {"name": "leaky_random", "frac_train": 0.5}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            how, wrong = _read(fields, text, given)
    except Exception as error:
        how, wrong = "crashed", f"{type(error).__name__}: {error}"[:300]
    return how, wrong, text or repr(given)


def _read(fields: dict[str, Any], text: str, given: list[Any] | None) -> tuple[str, str]:
    try:
        spec = RunSpec.from_dict(fields)
        data = spec.data() if given is not None else None
    except SpecError as error:
        return "refused", unlike_a_line(str(error))
    if RunSpec.from_toml(spec.to_toml()).id != spec.id:
        return "read", "another id once written and read"
    if given is not None and data is not None:
        return "read", _unlike_weights(data, given)
    unlike = _unlike_cells if isinstance(spec.task, Table) else _unlike_features
    return "read", unlike(spec.task, _rows(text))


def _unlike_weights(data: Any, given: Sequence[Any]) -> str:
    trained = np.array(given, np.float64)[data.is_train]
    expected = trained / trained.mean()
    return "" if np.allclose(data.weights[data.is_train], expected, 1e-6) else "other weights"


def _rows(text: str) -> list[list[str]]:
    """What the csv module reads with each delimiter in turn, until rows have more than one cell."""
    text = text.removeprefix("\ufeff")
    found: list[list[str]] = []
    for delimiter in DELIMITERS:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        found = [cells for row in rows if any(cells := [cell.strip() for cell in row])]
        if len({len(row) for row in found}) == 1 and len(found[0]) > 1:
            break
    return found


def _unlike_cells(task: Any, rows: list[list[str]]) -> str:
    """Whether a table, told in the words of its file, has not the cells of the file."""
    table = task.table()
    operands = task.operand_names or tuple(map(str, range(len(table))))
    labels = task.label_names or tuple(map(str, range(task.n_labels)))
    read = {(operands[x], operands[y]): labels[table[x, y]] for x, y in np.argwhere(table >= 0).tolist()}
    return "" if read == _cells_of(rows) else f"other cells: {read}"[:300]


def _cells_of(rows: list[list[str]]) -> dict[tuple[str, str], str]:
    if [cell.lower() for cell in rows[0]] == ["x", "y", "label"]:
        return {(_plain(x), _plain(y)): _plain(label) for x, y, label in rows[1:]}
    above, beside = rows[0][1:], [row[0] for row in rows[1:]]
    body = [row[1:] for row in rows[1:]]
    is_headed = above == beside and len(set(above)) == len(above) > 1
    corner_is_inside = rows[0][0] in {*above, *(cell for row in body for cell in row)}
    both_are_numbers = all(_plain(cell).isdecimal() for cell in (rows[0][0], *above))
    if is_headed and (not rows[0][0] or not (corner_is_inside or both_are_numbers)):
        names = above
    else:
        names, body = [str(i) for i in range(len(rows))], rows
    return {
        (_plain(x), _plain(y)): _plain(label)
        for x, row in zip(names, body, strict=True)
        for y, label in zip(names, row, strict=True)
        if label
    }


def _plain(cell: str) -> str:
    """A whole number without a sign and zeros before it, and a word as it is."""
    return str(int(cell)) if cell.removeprefix("+").isdecimal() and cell.isascii() else cell


def _unlike_features(task: Any, rows: list[list[str]]) -> str:
    examples = task.examples()
    labels = task.label_names or tuple(map(str, range(task.n_labels)))
    told = [labels[label] for label in examples.labels]
    if told != [_plain(row[-1]) for row in rows[1:]]:
        return "other labels"
    numbers = np.array([[float(cell) for cell in row[:-1]] for row in rows[1:]], np.float32)
    return "" if (examples.inputs == numbers).all() else "other numbers"


KINDS: tuple[str, ...] = ("table", "feature_table", "weights")


def campaign(n: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How many of n texts fared how; and the failures, each with its text."""
    tally: Counter[str] = Counter()
    failures: list[str] = []
    for i in range(n):
        kind = KINDS[i % len(KINDS)]
        how, wrong, text = outcome(kind, random.Random(f"{seed}-{i}"))
        tally[f"{kind} {how}"] += 1
        if wrong:
            failures.append(f"case {i}, {kind} {how}: {wrong}\n{text[:1000]!r}")
    return tally, failures


def main() -> None:
    """Run a campaign and say how it went."""
    given = parser(__doc__, 2000).parse_args()
    raise SystemExit(tell("texts", given.seed, *campaign(given.n, given.seed)))


if __name__ == "__main__":
    main()
