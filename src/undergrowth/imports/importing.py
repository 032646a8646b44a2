"""Importing: from files or a folder of them to runs in a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undergrowth.imports.building import Built, built
from undergrowth.imports.dialects import DIALECTS
from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import MOST_BYTES, READ, File, read, told
from undergrowth.imports.foreign import Beside, Dialect, Fields, Foreign
from undergrowth.imports.mapping import mapped_dialect
from undergrowth.store import Run, Store
from undergrowth.store.carrying import adopt
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.store.verify import unfinished_files
from undergrowth.store.writer import Writer

MOST_FILES = 10_000


@dataclass(frozen=True, eq=False)
class Imported:
    """What an import has come to: the runs, those that the store had before among them.

    disagreements: by run id what its files say and its weights do not bear out; left_out: files that no
    run was made of, as (name, why).
    """

    runs: tuple[Run, ...]
    disagreements: Mapping[str, Sequence[str]]
    left_out: tuple[tuple[str, str], ...]


def import_run(
    path: str | Path,
    out: str | Path,
    *,
    mapping: str | Path | None = None,
    fresh_optimiser: bool = False,
    **fields: Any,
) -> Run:
    """Import the one run of a file or folder into the store at `out`, and return it.

    See `import_runs`. Raises ForeignFileError also where there are several.
    """
    found = import_runs(
        path, out, mapping=mapping, fresh_optimiser=fresh_optimiser, only_one=True, **fields
    )
    return found.runs[0]


def import_runs(
    path: str | Path,
    out: str | Path,
    *,
    mapping: str | Path | None = None,
    fresh_optimiser: bool = False,
    only_one: bool = False,
    **fields: Any,
) -> Imported:
    """Import every run of a file or a folder into the store at `out`, which is made if missing.

    mapping: a TOML file that says what a layout of files unknown here means; see `mapping.Mapping`.
    fresh_optimiser: whether runs may go on from weights without moments, with moments that start at
    zero. fields: those of a `RunSpec` which the files do not tell, or wrongly, such as
    `split={"name": "shuffled", "seed": 1}`; a table's fields are laid over those found.

    Nothing of a file is run, and nothing is written where anything in it is refused. Raises
    ForeignFileError, in one line, for what cannot be imported, StoreError for a store that cannot be
    written.
    """
    files = _files(Path(path))
    dialects = DIALECTS if mapping is None else (mapped_dialect(Path(mapping)), *DIALECTS)
    foreign, left_out = _recognised(files, Path(path), dialects, fields)
    if only_one and len(foreign) > 1:
        names = ", ".join(one.name for one in foreign[:8])
        raise ForeignFileError(f"{path} holds {len(foreign)} runs ({names}): give one of the files")
    ready = [built(one, fields, fresh_optimiser=fresh_optimiser) for one in foreign]
    root = Path(out)
    create(root)
    with writing(root):
        _store(root, ready)
    store = Store(root)
    by_id = {one.spec.id: one for one in ready}
    return Imported(
        tuple(store.run(run_id) for run_id in by_id),
        {run_id: one.disagreements for run_id, one in by_id.items() if one.disagreements},
        tuple(left_out),
    )


def _store(root: Path, ready: Sequence[Built]) -> None:
    """Write the runs that the store has not, or not whole."""
    whole = {run.id for run in Store(root).runs if run.status == "done"} - unfinished_files(root)
    writer = Writer(root, "imports")
    for one in ready:
        if one.spec.id not in whole:
            adopt(writer, one.spec, one.facts)
        writer.name([(one.spec.id, one.name)])
    writer.close()


def _files(path: Path) -> list[File]:
    if not path.is_dir():
        return [read(path)]
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in READ and each.is_file())
    if not found:
        raise ForeignFileError(f"{path} has no file that ends in {', '.join(READ)}: give another folder")
    if len(found) > MOST_FILES:
        raise ForeignFileError(
            f"{path} has {len(found)} files, more than {MOST_FILES}: give a part of them"
        )
    if sum(each.stat().st_size for each in found) > MOST_BYTES:
        raise ForeignFileError(f"{path} has more than {MOST_BYTES} bytes in files: give a part of them")
    return [read(each) for each in found]


def _recognised(
    files: Sequence[File], path: Path, dialects: Sequence[Dialect], fields: Fields
) -> tuple[list[Foreign], list[tuple[str, str]]]:
    """The runs in some files, and the files that are part of none.

    Raises ForeignFileError where there is no run, and for a single file as soon as it is refused.
    """
    beside = _beside(files)
    found: list[Foreign] = []
    left_out: dict[str, str] = {}
    rest = list(files)
    for dialect in dialects:
        for group in list(dialect.groups(rest)):
            try:
                one = dialect.read(group, beside, fields)
            except ForeignFileError as error:
                if not path.is_dir():
                    raise ForeignFileError(f"{path.name}: {error}") from None
                left_out |= {file.name: str(error) for file in group}
                used = set(group)
            else:
                found.append(one)
                used = {*group, *one.files}
            rest = [file for file in rest if file not in used]
    if not path.is_dir() and not found:
        raise ForeignFileError(f"{path.name}: {_unknown(files[0], dialects)}")
    left_out |= dict(_unread(rest))
    if not found:
        name, why = next(iter(left_out.items()))
        raise ForeignFileError(f"{path}: no run in it; {name}: {why}")
    return found, sorted(left_out.items())


def _unread(rest: Sequence[File]) -> Iterator[tuple[str, str]]:
    for file in rest:
        try:
            yield file.name, f"holds {told(file.held)}: not a known layout"
        except ForeignFileError as error:
            yield file.name, str(error).removeprefix(f"{file.name}: ")


def _unknown(file: File, dialects: Sequence[Dialect]) -> str:
    """What to say of a file that can be read and that nobody knows what to make of."""
    known = "; ".join(f"{dialect.name} ({dialect.looks})" for dialect in dialects if dialect.looks)
    return f"holds {told(file.held)}; known layouts are {known}: teach this one with --mapping FILE"


def _beside(files: Sequence[File]) -> Beside:
    folder = files[0].path.parent
    known = {file.name: file for file in files}

    def of_name(name: str) -> File | None:
        if name not in known and (folder / name).is_file():
            known[name] = read(folder / name)
        return known.get(name)

    return of_name
