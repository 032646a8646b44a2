"""The studies that can be run, by name: the package's, and those of files of one's own."""

from __future__ import annotations

from undergrowth.own_parts import Source, sources, use_entry_points
from undergrowth.plain_text import in_one_line
from undergrowth.spec_errors import SpecError, near
from undergrowth.store import Store
from undergrowth.store.parts import parts_of
from undergrowth.studies import STUDIES, Study
from undergrowth.studies.arm import BUDGETS


def studies() -> dict[str, Study]:
    """All studies by name, the package's first; a file or module in use (`own_parts.use`) has those that
    stand in it as `STUDY = Study(...)`, under whatever name.

    Raises SpecError, in one line, where one has a name that is taken, or parts that do not fit.
    """
    found = dict(STUDIES)
    for source in sources():
        for each in [x for x in vars(source.module).values() if isinstance(x, Study)]:
            if found.get(each.name) is not each:
                _check(each, source, found)
                found[each.name] = each
    return found


def unknown_in(store: Store) -> tuple[str, ...]:
    """Names of the studies that a store's runs were trained for and that are not known here, installed
    packages included.
    """
    asked = {part.study for its in parts_of(store.root).values() for part in its}
    if asked - studies().keys():
        use_entry_points()
    return tuple(sorted(asked - studies().keys()))


def _check(study: Study, source: Source, others: dict[str, Study]) -> None:
    if study.name in others:
        whose = "the package" if study.name in STUDIES else "another file in use"
        raise SpecError(
            f"{source.path}: name = {study.name!r}: {whose} has a study of that name: give this one "
            "another"
        )
    try:
        for budget in BUDGETS:
            study.check(budget)
    except ValueError as error:
        raise SpecError(in_one_line(f"{source.path}: {error}")) from None


def study(name: str) -> Study:
    """The study of that name, as `undergrowth study list` has it.

    Raises ValueError, with the nearest name, where there is none.

    >>> study("lr-boost").name
    'lr-boost'
    """
    found = studies()
    if name not in found and use_entry_points():
        found = studies()
    if name in found:
        return found[name]
    hint = near(name, found) or f"; studies: {', '.join(found)}"
    raise ValueError(f"no study {name!r}{hint} (one of your own comes with --with FILE)")
