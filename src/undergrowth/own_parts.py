"""Parts of one's own: files and installed packages whose kinds a spec takes like the package's.

The text that defines a part decides what it does, so it is part of the id of every run that has one.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from pydantic import BaseModel

from undergrowth import kinds
from undergrowth.plain_text import command, in_one_line
from undergrowth.spec_errors import SpecError

GROUP = "undergrowth"
"""The group of entry points by which an installed package says which module has parts."""
TOLD = "UNDERGROWTH_WITH"
"""The variable by which another process is told what is in use here."""
FRONT = "__init__.py"
PREFIX = "own_parts_"
"""How the names of modules begin that are imported from files here."""


@dataclass(frozen=True, eq=False)
class Source:
    """A file, folder or installed module in use.

    path: of the file that is imported; name: of the module where it is imported by that, else empty;
    root: the directory that its files lie in; files: their texts by place below that; module: as
    imported; adds: the kinds that it adds.
    """

    path: Path
    name: str
    root: Path
    files: Mapping[str, str]
    module: ModuleType
    adds: tuple[type[BaseModel], ...] = ()

    @property
    def digest(self) -> str:
        """16 hex digits of all its text, whatever it is called and wherever it lies."""
        texts = [*self.files.values()] if len(self.files) == 1 else sorted(self.files.items())
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


@dataclass
class _InUse:
    """What is in use in this process, by the file that is imported."""

    sources: dict[Path, Source] = field(default_factory=dict)
    being_imported: list[Path] = field(default_factory=list)
    entry_points_are: bool = False


_HERE = _InUse()


def use(where: str | Path | ModuleType) -> ModuleType:
    """Make the parts in a file of one's own known to specs by their names, and give its module.

    where: a Python file; or a folder with an `__init__.py`, whose files import each other as in any
    package; or a module that Python finds by its name. Every task, split, model spec, optimiser, batch,
    measure, trigger and action that is defined there is known from then on, and every study. Where the
    text has changed since it was used before, the new parts take the place of the old.

    Worker processes use the same. The id of a run with such a part depends on the text that defines it:
    that of the file, or of all Python files of the folder or of the module's package.

    Raises SpecError, in one line, with file and line, where it cannot be imported or a part is
    incomplete, or has a name that is taken.
    """
    path, name, root = _place(where)
    if path in _HERE.being_imported:  # a script that says use(__file__), imported by a worker
        return next(_from(path))
    files = _texts(path, root)
    known = _HERE.sources.get(path)
    module = where if isinstance(where, ModuleType) else None
    if known is not None and known.files == files and module in (None, known.module):
        return known.module
    if module is None and known is None:  # imported already, or the script that says use(__file__)
        module = next((each for each in _from(path) if not each.__name__.startswith(PREFIX)), None)
    if module is None:
        module = _imported(path)
    _register(Source(path, name, root, files, module), known)
    return module


def module_of(path: Path) -> ModuleType:
    """The module of a Python file, whose parts need not be known by name; raises SpecError as `use`."""
    known = _HERE.sources.get(path)
    return known.module if known is not None else _imported(path)


def sources() -> tuple[Source, ...]:
    """What is in use, in the order in which it came."""
    return tuple(_HERE.sources.values())


def undergrowth_command(*words: object) -> str:
    """A shell's line that gives these words to `undergrowth`, with the files of one's own in use here.

    >>> undergrowth_command("runs", "my runs")
    "undergrowth runs 'my runs'"
    """
    files = [source.path for source in sources() if not source.name]
    given = [path.parent if path.name == FRONT else path for path in files]
    return command("undergrowth", *words, *(word for path in given for word in ("--with", path)))


def sources_of(value: object) -> tuple[Source, ...]:
    """What the parts of a spec come from, those of the package left out."""
    found: dict[Source, None] = {}

    def look(value: object) -> None:
        if isinstance(value, BaseModel):
            its = {of for source in sources() for of in source.adds} & {*type(value).__mro__}
            found.update({source: None for source in sources() if its & {*source.adds}})
            for name in type(value).model_fields:
                look(getattr(value, name))
        elif isinstance(value, tuple):
            for item in value:
                look(item)

    if any(source.adds for source in sources()):
        look(value)
    return tuple(found)


def copies_of(value: object) -> dict[str, str]:
    """By place the texts of the files and folders that the parts of a spec come from, to be kept with
    what is made of it; those of installed packages left out.
    """
    found: dict[str, str] = {}
    for source in sources_of(value):
        if not source.name:
            folder = f"{source.root.name}/" if source.path.name == FRONT else ""
            if found.keys() & {f"{folder}{place}" for place in source.files}:
                folder = f"{source.digest}_{folder}"
            found |= {f"{folder}{place}": text for place, text in source.files.items()}
    return found


def use_entry_points() -> bool:
    """Use the modules that installed packages name as entry points of the group `undergrowth`; whether
    that added anything. They are looked for once.

    Raises SpecError, in one line, as `use` does.
    """
    from importlib.metadata import entry_points

    before = len(_HERE.sources)
    points = [] if _HERE.entry_points_are else entry_points(group=GROUP)
    _HERE.entry_points_are = True
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        try:
            use(_imported_by_name(point.module))
        except SpecError as error:
            whose = point.dist.name if point.dist else point.value
            raise SpecError(f"entry point {point.name!r} of the package {whose}: {error}") from None
    return len(_HERE.sources) > before


def told_to_others(*, only_kinds: bool = False) -> dict[str, str]:
    """The environment by which another process uses the same; empty where there is nothing to use.

    only_kinds: without what has only studies, which are slow to import and nothing to a worker.
    """
    told = [[str(s.path), s.name, str(s.root), s.digest] for s in sources() if s.adds or not only_kinds]
    return {TOLD: json.dumps(told)} if told else {}


def use_what_was_told(environment: Mapping[str, str]) -> None:
    """Use what the process that started this one uses; raises SpecError where that has changed since."""
    for place, name, root, digest in json.loads(environment.get(TOLD, "[]")):
        if name and root not in sys.path:
            sys.path.append(root)
        use(_imported_by_name(name) if name else place)
        if _HERE.sources[Path(place)].digest != digest:
            raise SpecError(f"{place} was changed while runs with it trained: give the command again")


def texts_for_others() -> list[tuple[str, str, str, Mapping[str, str]]]:
    """What has kinds of what is in use here, for a machine that may not have its files: of each its
    module's name where it is imported by that, its digest, the file to be imported and the texts of all,
    by place below a folder.
    """
    told: list[tuple[str, str, str, Mapping[str, str]]] = []
    for source in sources():
        if source.adds:
            top = f"{source.root.name}/" if source.path.name == FRONT else ""
            files = (
                {} if source.name else {f"{top}{place}": text for place, text in source.files.items()}
            )
            told.append((source.name, source.digest, f"{top}{source.path.name}", files))
    return told


def use_texts(told: Iterable[tuple[str, str, str, Mapping[str, str]]], folder: Path) -> None:
    """Use what another machine uses; its files are written below a folder, which has to stay.

    Raises SpecError where an installed module is not here, or is another version of itself.
    """
    for name, digest, place, files in told:
        if any(source.digest == digest for source in sources()):
            continue
        if name:
            use(_imported_by_name(name))
            if all(source.digest != digest for source in sources()):
                raise SpecError(f"module {name!r} is another here than where the sweep was begun")
            continue
        root = folder / digest
        for each, text in files.items():
            path = root / each
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        use(root / place)


def refuse_while_importing() -> None:
    """Raise SpecError where a file that is being imported goes on to train, as a script does."""
    if _HERE.being_imported:
        raise SpecError(
            "it trains while it is imported, which every worker does: put that part of it below "
            'if __name__ == "__main__":'
        )


def where_raised(error: BaseException) -> str:
    """`my.py, line 12: TypeError: ...` for an error that came out of a source; empty for any other."""
    files = {str(source.root / place) for source in sources() for place in source.files}
    return next(filter(None, (_told(error, file) for file in files)), "")


def _place(where: str | Path | ModuleType) -> tuple[Path, str, Path]:
    """The file to be imported, the module's name where it is imported by that, and the directory that
    its files lie in.
    """
    if not isinstance(where, ModuleType):
        given = Path(where)
        path = (given / FRONT if given.is_dir() else given).resolve()
        if not path.is_file():
            raise SpecError(f"{given}: there is no such Python file: give one, or a folder with {FRONT}")
        return path, "", path.parent
    path = _file_of(where)
    if path is None:
        raise SpecError(
            f"module {where.__name__!r} has no file, so no worker can import it: write its parts to a "
            "file, and use that"
        )
    if where.__name__ == "__main__":
        return path, "", path.parent
    up = where.__name__.count(".") + (path.name == FRONT)
    return path, where.__name__, path.parents[up]


def _texts(path: Path, root: Path) -> dict[str, str]:
    """By place below the root, the text of a file; or of all of the package that it is in."""
    top = path.relative_to(root).parts[0]
    if path.name == FRONT and path.parent == root:  # a folder that was given
        files = [*root.rglob("*.py")]
    else:
        files = [path] if path.parent == root else [*(root / top).rglob("*.py")]
    try:
        return {
            file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in sorted(files)
        }
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise SpecError(f"{path}: {reason}: give a Python file") from None


def _file_of(module: object) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _from(path: Path) -> Iterator[ModuleType]:
    """The modules that are imported from a file."""
    for module in [*sys.modules.values()]:
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(path.name) and _file_of(module) == path:
            yield module


class _AsItStands(SourceFileLoader):
    """Compiles the text that the file has now: of one that was written a moment ago Python may keep what
    it was before.
    """

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)


def _imported(path: Path) -> ModuleType:
    """A file as a module, under a name that is the same whenever it is imported."""
    stem = path.parent.name if path.name == FRONT else path.stem
    name = f"{PREFIX}{stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    inside = [str(path.parent)] if path.name == FRONT else None
    spec = spec_from_file_location(
        name, path, loader=_AsItStands(name, str(path)), submodule_search_locations=inside
    )
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    before = {
        each: sys.modules.pop(each) for each in [*sys.modules] if f"{each}.".startswith(f"{name}.")
    }
    sys.modules[name] = module
    try:
        with _importing(path, str(path.parent if inside else path)):
            spec.loader.exec_module(module)
    except SpecError:
        del sys.modules[name]
        sys.modules.update(before)
        raise
    return module


def _imported_by_name(name: str) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None:
        return known
    with _importing(Path(name), ""):
        return import_module(name)


@contextmanager
def _importing(path: Path, within: str) -> Iterator[None]:
    """Raises SpecError, with file and line, where what is imported within raises anything."""
    _HERE.being_imported.append(path)
    try:
        yield
    except SyntaxError as error:
        where = f"{error.filename or path}, line {error.lineno}"
        raise SpecError(in_one_line(f"{where}: {error.msg}: mend it")) from None
    except (Exception, SystemExit) as error:
        told = _told(error, within) or f"{path}: {type(error).__name__}: {error}"
        raise SpecError(in_one_line(told)) from None
    finally:
        _HERE.being_imported.pop()


def _told(error: BaseException, within: str) -> str:
    """An error with the last line that it came out of in a file, or in one below a directory; anywhere
    but here where that is empty. Empty where it did not.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(within) and frame.filename[0] != "<" and frame.filename != __file__
    ]
    if not frames:
        return ""
    kind = "" if isinstance(error, SpecError) else f"{type(error).__name__}: "
    return in_one_line(f"{frames[-1].filename}, line {frames[-1].lineno}: {kind}{error}")


def _register(source: Source, known: Source | None) -> None:
    """Take a source in the place of what it was before."""
    top = source.module.__name__.partition(".")[0]
    own = [
        value
        for value in dict.fromkeys(v for v in vars(source.module).values() if isinstance(v, type))
        if issubclass(value, BaseModel) and f"{value.__module__}.".startswith(f"{top}.")
    ]
    for kind in own:
        kind.source_digest = source.digest  # type: ignore[attr-defined]
    adds = tuple(kind for kind in own if kind.__name__[0] != "_" and kinds.union_of(kind) is not None)
    kinds.change(known.adds if known else (), adds)
    _HERE.sources[source.path] = Source(
        source.path, source.name, source.root, source.files, source.module, adds
    )
