"""One direction: no module imports itself by way of others, and packages only those before them. And
nothing in them is longer than a reader takes in at once.

Every import of one of its own modules counts, wherever it stands: one for the type checker alone says
as well that a module cannot be understood without the other, and one inside a function is a circle that
shows only when it is called. So does what Python runs on the way: `a.b.c` runs `a` and `a.b` first.
Not counted is the front of the package on that way: all pass through it, and it imports what it names
only when it is asked, so nothing may import from it. Modules named in strings (a subprocess, a patch)
are no imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import undergrowth

ROOT = Path(undergrowth.__file__).parent
ORDER = (
    # what everything may use
    *(
        "version",
        "garbage",
        "plain_text",
        "toml_text",
        "precision",
        "spec_errors",
        "multiplicity",
        "claim_ids",
    ),
    "notebook_html",
    # what a run is made of, and what others add to it
    *(
        "kinds",
        "own_parts",
        "values",
        "rng",
        "schedules",
        "losses",
        "tasks",
        "models",
        "gating",
        "training",
        "measures",
    ),
    # a run, what trains it, where it is kept and where it runs
    *("spec", "naming", "engine", "store", "imports", "sweep"),
    # what only reads, and those who ask
    *("analysis", "report", "studies", "live", "published", "exports", "explore"),
    *("printing", "terminal", "cli", "__main__"),
    "",  # the front: `import undergrowth`
)
"""Packages and single modules of `undergrowth`; each imports only from those before it.

Errors come before kinds and values, whose own they are; naming tells specs apart, and so follows them.
"""


def named(file: Path) -> str:
    """A module's name below the package, '' for the package itself."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, str]:
    """By name the text of every module."""
    return {named(file): file.read_text() for file in ROOT.rglob("*.py")}


def package(module: str) -> str:
    return module.split(".")[0]


def parents(module: str) -> Iterator[str]:
    """The packages that a module is in, from the innermost on, without the front."""
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def imported(text: str) -> Iterator[tuple[str, ...]]:
    """What each import of the package's own names: the whole path, which may end within a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        else:
            continue
        for head, *rest in (path.split(".") for path in paths):
            if head == "undergrowth":
                yield tuple(rest)


def resolved(path: tuple[str, ...], modules: set[str]) -> str:
    """The module that a path leads to: the path itself, or else what its last name is in."""
    whole = ".".join(path)
    within = ".".join(path[:-1])
    assert whole in modules or within in modules, f"there is no module {within!r}"
    return whole if whole in modules else within


def edges(module: str, text: str, modules: set[str]) -> set[str]:
    """The modules that a module imports, those included that are run on the way."""
    named = {resolved(path, modules) for path in imported(text)}
    on_the_way = {parent for target in named for parent in parents(target)}
    return (named | (on_the_way - {*parents(module)})) - {module}


@cache
def graph() -> dict[str, set[str]]:
    """By module those that it imports."""
    modules = set(sources())
    return {module: edges(module, text, modules) for module, text in sources().items()}


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_packages_import_only_from_those_before_them() -> None:
    place = {name: position for position, name in enumerate(ORDER)}
    backwards = [
        f"{module} imports {target}"
        for module, targets in graph().items()
        for target in sorted(targets)
        if place[package(target)] > place[package(module)]
    ]
    assert not backwards


def test_every_package_has_its_place_in_the_order() -> None:
    assert sorted(ORDER) == sorted({package(module) for module in sources()})


def test_an_import_counts_wherever_it_stands() -> None:
    text = """
from undergrowth.values import Value
if TYPE_CHECKING:
    from undergrowth.spec import RunSpec
def late():
    import undergrowth.store.reader
    from undergrowth import tasks
"""
    modules = {"", "values", "spec", "store", "store.reader", "tasks"}
    assert edges("models", text, modules) == {"values", "spec", "store", "store.reader", "tasks"}


def test_a_module_may_be_imported_by_the_package_it_is_in_and_not_import_from_it() -> None:
    modules = {"", "tasks", "tasks.task", "tasks.modular"}
    assert edges("tasks.modular", "from undergrowth.tasks.task import Task", modules) == {"tasks.task"}
    assert edges("tasks.modular", "from undergrowth.tasks import Task", modules) == {"tasks"}
    assert edges("values", "from undergrowth.tasks.task import Task", modules) == {"tasks", "tasks.task"}


LINES, METHODS = 60, 15
"""Most lines of a function, decorators and docstring included, and methods of a class."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def too_long(text: str) -> Iterator[str]:
    """The functions of more lines, and the classes of more methods, than there may be."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, FUNCTIONS):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            n_lines = (node.end_lineno or first) - first + 1
            if n_lines > LINES:
                yield f"{node.name}: {n_lines} lines"
        if isinstance(node, ast.ClassDef):
            n_methods = sum(isinstance(each, FUNCTIONS) for each in node.body)
            if n_methods > METHODS:
                yield f"{node.name}: {n_methods} methods"


def test_no_function_is_over_60_lines_and_no_class_over_15_methods() -> None:
    found = [f"{module}.{found}" for module, text in sources().items() for found in too_long(text)]
    assert not found


def test_what_is_too_long_is_found() -> None:
    body = "    pass\n" * 59
    assert list(too_long(f"def f():\n{body}")) == []
    assert list(too_long(f"@cache\ndef f():\n{body}")) == ["f: 61 lines"]
    methods = "".join(f"    def m{i}(self): ...\n" for i in range(16))
    assert list(too_long(f"class C:\n{methods}")) == ["C: 16 methods"]
