"""The reference of the Python names and of the command line, from the package itself."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import undergrowth as ug
from builder.text import forget, write
from undergrowth.cli import app
from undergrowth.cli.own_parts import HELP

GROUPS = {
    "runs": (
        "Runs and stores",
        (
            "spec",
            "spec.file",
            "spec.grid",
            "spec.presets",
            "schedules",
            "store",
            "store.comparing",
            "store.merging",
            "store.pruning",
            "sweep",
            "terminal",
            "own_parts",
            "sweep.measuring",
            "sweep.ray_engine",
            "sweep.replaying",
            "exports.exporting",
            "exports.format",
            "imports",
        ),
    ),
    "tasks": ("Tasks, splits and weights", ("tasks",)),
    "models": ("Models", ("models",)),
    "training": (
        "Training",
        ("training.batches", "training.noise", "training.optimisers", "training.stopping"),
    ),
    "interventions": ("Triggers and actions", ("training.interventions",)),
    "measures": ("Measures", ("", "measures")),
    "gating": ("Attribution and ablation", ("gating",)),
    "analysis": ("Events and statistics", ("analysis",)),
    "figures": (
        "Figures",
        (
            *("report.ablation", "report.curves", "report.saliency", "report.spikes"),
            *(
                "report.aligned",
                "report.fork_tree",
                "report.readings",
                "report.own_runs",
                "report.mapped",
            ),
        ),
    ),
    "studies": (
        "Studies and published results",
        ("studies", "studies.named", "published.reading", "published.writing"),
    ),
}
"""By page: its title, and the modules from which the stub takes the names on it."""


def write_pages(folder: Path) -> None:
    """The page of each group of names, one that lists them, and the command line's."""
    names = public_names()
    listed = {module for _, modules in GROUPS.values() for module in modules}
    if missing := sorted(set(names) - listed - {"version"}):
        raise ValueError(
            f"docs/builder/reference.py: names from {missing} are on no page: add them to GROUPS"
        )
    forget(folder, (*GROUPS, "command-line"))
    for page, (title, modules) in GROUPS.items():
        entries = "\n\n".join(_entry(name) for module in modules for name in names.get(module, ()))
        write(folder / f"{page}.md", f"# {title}\n\n```{{eval-rst}}\n{entries}\n```\n")
    write(folder / "index.md", _index(names))
    write(folder / "command-line.md", command_line())


def public_names() -> dict[str, list[str]]:
    """The names in the package's stub, by the module from which it takes them."""
    stub = Path(ug.__file__).with_suffix(".pyi").read_text()
    found: dict[str, list[str]] = {}
    for statement in ast.parse(stub).body:
        if isinstance(statement, ast.ImportFrom):
            found.setdefault(statement.module or "", []).extend(
                a.asname or a.name for a in statement.names
            )
    found["store"] = [*found["store"], "open"]
    return found


def _entry(name: str) -> str:
    of = getattr(ug, name)
    if inspect.ismodule(of):
        return f".. automodule:: undergrowth.{name}"
    if inspect.isclass(of):
        return f".. autoclass:: undergrowth.{name}\n   :members:"
    if callable(of):
        return f".. autofunction:: undergrowth.{name}"
    return f".. autodata:: undergrowth.{name}\n   :no-value:"


def _index(names: dict[str, list[str]]) -> str:
    pages = "\n".join(GROUPS)
    lists = "\n".join(_line(page, names) for page in GROUPS)
    return (
        "# Python\n\n`import undergrowth as ug` has these names; each is loaded when it is first used. "
        "What is not here is not public and may change.\n\n"
        f"{lists}\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
    )


def _line(page: str, names: dict[str, list[str]]) -> str:
    title, modules = GROUPS[page]
    own = ", ".join(f"`{name}`" for module in modules for name in names.get(module, ()))
    return f"* [{title}]({page}.md): {own}"


def command_line() -> str:
    """The help of every command."""
    text = app.generate_docs(output_format="markdown")
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Commands)", "", text, flags=re.DOTALL)
    text = text.replace("**Commands**", f"`--with PATH`, with any command: {HELP}\n\n**Commands**", 1)
    return "\n".join(_of_line(line) for line in text.splitlines()) + "\n"


def _of_line(line: str) -> str:
    line = re.sub(r"^# undergrowth$", "# Command line", line)
    line = re.sub(r"^(#+) (undergrowth .*)$", r"\1 `\2`", line)
    return re.sub(r"^\* \[(`[\w-]+`)\]\(#[\w-]+\)", r"* \1", line)
