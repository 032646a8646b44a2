"""`sweep`: the runs of a study or spec file that are not stored yet, or one shard of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, Out, WrongUseError, app, which_seeds
from undergrowth.cli.merging import in_bytes
from undergrowth.cli.studies import Arms, BudgetName, only_arms
from undergrowth.cli.training import report_ends
from undergrowth.printing import console, print_json

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.naming import Names
    from undergrowth.spec import RunSpec
    from undergrowth.store import Store
    from undergrowth.store.parts import Parts
    from undergrowth.sweep import Layout
    from undergrowth.sweep.expecting import Expected
    from undergrowth.sweep.planning import Plan
    from undergrowth.sweep.ray_engine import OnRay


MOST_LOOKED_AT = 2000
"""Runs that a forecast looks at; of more, so many from all over the sweep."""


WhichShard = Annotated[
    str | None,
    Parameter(help="Which part of the runs: 3/16 is the third of sixteen. Forks are with their trunks."),
]
Address = Annotated[
    str | None,
    Parameter(
        help="Of a Ray cluster; by default RAY_ADDRESS, and without that Ray starts on this machine."
    ),
]
GpusPerWorker = Annotated[
    float, Parameter(help="With Ray: 0.25, where four workers share a GPU; 0 trains on CPUs.")
]
Engine = Annotated[
    Literal["local", "ray"], Parameter(help="Where: on this machine, or on Ray's machines.")
]
Scratch = Annotated[
    Path | None,
    Parameter(help="Of a shard: where on this machine it is trained; by default in a temporary folder."),
]


@dataclass(frozen=True)
class _Asked:
    """What is swept: runs, and the parts that they play in studies."""

    specs: Sequence[RunSpec]
    parts: Parts


@app.command
def sweep(
    what: Annotated[str, Parameter(help="A spec file, a published set-up, a study, or 'all' studies.")],
    /,
    *,
    out: Out = Path("runs"),
    workers: Annotated[
        int | None, Parameter(help="Processes that train; by default one for each core.")
    ] = None,
    shard: WhichShard = None,
    seeds: Annotated[
        str | None,
        Parameter(help="Number of seeds, or which: 108-115; by default the file's or the budget's."),
    ] = None,
    budget: Annotated[BudgetName, Parameter(help="Of a study: which of its sizes.")] = "quick",
    arm: Arms = (),
    engine: Engine = "local",
    address: Address = None,
    gpus_per_worker: GpusPerWorker = 0.0,
    scratch: Scratch = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Say what there is to do, and how long it will take.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Train the runs of a study or spec file that are not stored yet.

    With --shard each part is trained on its own machine, and what it finishes is published into
    OUT/shards as it comes; `undergrowth merge OUT/shards --into OUT` puts all of it together. A sweep
    that is killed goes on by the same command, in any number of shards. With --engine ray runs are tasks
    on the machines of a Ray cluster, which send back what they have finished.
    """
    from undergrowth.store.layout import create
    from undergrowth.sweep import Layout
    from undergrowth.sweep.planning import plan
    from undergrowth.sweep.publishing import scratch as default_scratch

    if as_json and not dry_run:
        raise WrongUseError("--json: a plan can be printed as JSON: add --dry-run")
    layout = None if workers is None else Layout(workers=_of_workers(workers))
    on_ray = _on_ray(engine, address, workers, gpus_per_worker, shard)
    which, of = _shard(shard)
    which_of = None if seeds is None else which_seeds(seeds)
    asked = _asked(what, budget, which_of, arm, out, state=not dry_run)
    found = plan(asked.specs, out, which, of)
    takes = _expected(found, out, layout or (Layout(workers=1) if on_ray else None))
    if dry_run or found.left:
        _say_plan(found, takes, shard, as_json, of_one=on_ray is not None and workers is None)
    if dry_run:
        return 0
    create(out)
    if shard is None:
        return _train_here(asked, found, out, layout, on_ray)
    return _train_shard(
        asked, found, out, (which, of), layout, scratch or default_scratch(out, which, of)
    )


def _on_ray(
    engine: str, address: str | None, workers: int | None, gpus: float, shard: str | None
) -> OnRay | None:
    """How Ray is used; None where it is not."""
    if engine != "ray":
        for name, value in (("--address", address), ("--gpus-per-worker", gpus)):
            if value:
                raise WrongUseError(f"{name} {value}: only Ray has use for it: add --engine ray")
        return None
    if shard is not None:
        raise WrongUseError(f"--shard {shard}: Ray deals out the runs itself: leave out one of the two")
    from undergrowth.sweep.ray_engine import OnRay, library

    try:
        library()
        return OnRay(address, workers, gpus)
    except (ImportError, ValueError) as error:
        raise WrongUseError(str(error)) from None


def _of_workers(workers: int) -> int:
    """The number given with --workers, refused where it is below 1."""
    if workers < 1:
        raise WrongUseError(f"--workers {workers}: nothing is trained by none: give 1 or more")
    return workers


def _shard(given: str | None) -> tuple[int, int]:
    """Which of how many, from '3/16'."""
    if given is None:
        return 1, 1
    which, _, of = given.partition("/")
    if which.isdecimal() and of.isdecimal() and 1 <= int(which) <= int(of) <= 10**6:
        return int(which), int(of)
    raise WrongUseError(
        f"--shard {given}: not which of how many: give 1/16 for the first of sixteen, up to 16/16"
    )


def _asked(
    what: str,
    budget: BudgetName,
    seeds: int | range | None,
    arms: Sequence[str],
    out: Path,
    state: bool,
) -> _Asked:
    """The runs of a spec file or study. state: whether the study's predictions are kept in the store."""
    import time

    from undergrowth.cli.specs import read_grid_named
    from undergrowth.store.layout import create
    from undergrowth.studies.conducting import parts_in, state_predictions
    from undergrowth.studies.named import studies

    known = studies()
    if Path(what).exists() or not (what == "all" or what in known):
        if arms:
            raise WrongUseError(
                f"--arm {arms[0]}: only a study has arms, and {what} is none: leave it out"
            )
        return _Asked(read_grid_named(what, seeds), {})
    names = known if what == "all" else (what,)
    planned = only_arms([each for name in names for each in known[name].planned(budget, seeds)], arms)
    if state:
        create(out)
        state_predictions(out, planned, known.values(), time.time())
    specs = list({each.spec.id: each.spec for each in planned}.values())
    return _Asked(specs, parts_in(planned))


def _expected(found: Plan, out: Path, layout: Layout | None) -> Expected | None:
    from undergrowth.sweep import this_machine
    from undergrowth.sweep.expecting import expected
    from undergrowth.sweep.planning import stores_of

    if not found.left:
        return None
    workers = (layout or this_machine()).workers
    some = found.sample(MOST_LOOKED_AT)
    return expected(some, stores_of(out), workers, len(found.left) / len(some))


def _say_plan(
    found: Plan, takes: Expected | None, shard: str | None, as_json: bool, of_one: bool
) -> None:
    """of_one: whether the time is that of one worker, since it is not known how many there will be."""
    from undergrowth.sweep.expecting import in_words

    if as_json:
        counts = {"runs": found.n_runs, "stored": found.n_stored, "to_train": len(found.left)}
        print_json({**counts, "shard": shard, "forecast": takes and asdict(takes)})
        return
    here = f" in shard {shard}" if shard else ""
    told = f"{found.n_runs} runs, {found.n_stored} stored, {len(found.left)} to train{here}"
    if takes and takes.seconds is not None:
        many = f" with {takes.workers} workers" if takes.workers > 1 else " of one worker" * of_one
        told += f": about {in_words(takes.seconds)}{many} and {in_bytes(takes.bytes)} ({takes.says})"
    elif takes:
        told += f"; no forecast: {takes.says}"
    console.print(told, markup=False)


def _called(asked: _Asked, found: Plan) -> Names:
    """What the runs that are trained are called meanwhile."""
    arms = {run_id: tuple(sorted({part.arm for part in its})) for run_id, its in asked.parts.items()}
    called = {spec.id: found.names.get(spec.id) or arms.get(spec.id) for spec in found.todo}
    return {run_id: its for run_id, its in called.items() if its}


def _train_here(
    asked: _Asked, found: Plan, out: Path, layout: Layout | None, on_ray: OnRay | None
) -> int:
    from undergrowth.own_parts import undergrowth_command
    from undergrowth.store import Store
    from undergrowth.sweep import train
    from undergrowth.sweep.parcels import take_in_what_was_left
    from undergrowth.sweep.planning import fetch_trunks
    from undergrowth.terminal import watching

    if on_ray is not None:
        take_in_what_was_left(out)
    store = Store(out)
    if found.left:
        fetch_trunks(found, out)
        with watching(found.todo, console, _called(asked, found)) as board:
            told = {"progress": board.hear, "names": found.names, "parts": asked.parts}
            if on_ray is None:
                store = train(found.todo, out, layout=layout, **told)
            else:
                store = _train_on_ray(found.todo, out, on_ray, told)
    code = report_ends(store, found.todo)
    listing = undergrowth_command("runs", out)
    told = f"{found.n_runs} runs, {len(found.left)} of them new"
    console.print(f"{told}: `{listing}` lists them", markup=False)
    return code


def _train_on_ray(specs: Sequence[RunSpec], out: Path, how: OnRay, told: dict[str, Any]) -> Store:
    from undergrowth.sweep.ray_engine import train_on_ray

    with _ended_by_sigterm():
        return train_on_ray(specs, out, how, **told)


def _train_shard(
    asked: _Asked,
    found: Plan,
    out: Path,
    shard: tuple[int, int],
    layout: Layout | None,
    work: Path,
) -> int:
    from undergrowth.own_parts import undergrowth_command
    from undergrowth.sweep.planning import finished
    from undergrowth.sweep.publishing import Shard
    from undergrowth.terminal import watching

    which, of = shard
    mine = Shard(out, f"shard-{which:0{len(str(of))}}-of-{of}", work)
    with _ended_by_sigterm(), watching(found.todo, console, _called(asked, found)) as board:
        failed = mine.train(found, layout=layout, progress=board.hear, parts=asked.parts)
    mine.forget()
    done = set(finished(out))
    left = [spec for spec in found.todo if spec.id not in done]
    known = sum(run_id in done for run_id in {*found.done, *(spec.id for spec in found.todo)})
    into = undergrowth_command("merge", out / "shards", "--into", out)
    console.print(f"shard {which}/{of} is done: {known} of {found.n_runs} runs are stored", markup=False)
    console.print(f"when all shards are done: `{into}`", markup=False)
    return 1 if failed or left else 0


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Whoever ends a job says so some time before (SLURM, Kubernetes): what is finished is published."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
