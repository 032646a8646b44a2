"""Ray: a sweep's chunks as tasks of Ray Core, on one machine or many; nothing else knows of Ray."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from undergrowth.plain_text import in_one_line
from undergrowth.spec import RunSpec
from undergrowth.spec_errors import SpecError
from undergrowth.store import Store
from undergrowth.store.layout import create
from undergrowth.store.parts import Parts
from undergrowth.sweep.dispatching import Dispatch, Lost
from undergrowth.sweep.expecting import kind, stored_rates
from undergrowth.sweep.local import Progress, prepared
from undergrowth.sweep.orders import Heard, NotCarriedOutError, Order, carried_out
from undergrowth.sweep.pace import Pace
from undergrowth.sweep.parcels import take_in_what_was_left
from undergrowth.sweep.planning import stores_of
from undergrowth.sweep.pool import SweepError
from undergrowth.sweep.worker import MOST_COMPILED

OBJECT_STORE = 500 * 10**6
"""Bytes of Ray's object store where it is started here: for parcels that are under way."""
LOOK_EVERY = 2.0
"""Seconds for which what the cluster has is taken to be what it had."""
TASKS_OF_A_PROCESS = 4
"""After which a process ends where there are many shapes: what it has compiled is let go of with it."""
TOLD = ("JAX_", "XLA_")
"""How the variables begin that workers have as they are here."""


@dataclass(frozen=True)
class OnRay:
    """How Ray is used.

    address: of a cluster, as `ray.init` takes it; by default RAY_ADDRESS, and without that Ray starts
    here and ends with the sweep; workers: how many train at once, by default as many as there is room
    for; gpus_per_worker: as 0.25, where four share one, and 0 trains on CPUs; pack: runs side by side in
    one worker, by default 1 on a CPU and 32 on a GPU.
    """

    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0.0
    pack: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("pack", self.pack)):
            if value is not None and value < 1:
                raise ValueError(f"OnRay({name}={value}): {name} must be at least 1: raise or omit it")
        share = self.gpus_per_worker
        if not (0 <= share <= 1 or (share > 1 and share % 1 == 0)):
            raise ValueError(
                f"OnRay(gpus_per_worker={share}): several workers share a GPU (0.25), or one has whole "
                "ones (1, 2): give such a number, or 0 for the CPU"
            )


def library() -> Any:
    """Ray; raises ImportError, in one line, where it cannot be imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns of its change otherwise
    try:
        return import_module("ray")
    except ImportError as error:
        raise ImportError(
            f"ray cannot be imported ({error}), and this sweep needs it: pip install 'undergrowth[ray]'"
        ) from None


def train_on_ray(
    specs: RunSpec | Sequence[RunSpec],
    out: str | Path,
    how: OnRay | None = None,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    names: Mapping[str, Sequence[str]] | None = None,
    parts: Parts | None = None,
) -> Store:
    """As `ug.train`, on Ray: on this machine, or on a cluster whose machines have the package installed
    and need not share a file system with this one.

    Runs are handed over in tasks of about a minute, at most twice as many as there are slots; what they
    have finished comes back with them and is in the store once. A task that is lost with its worker or
    machine is handed over again. Whatever ends this, what has arrived is stored, and the same call goes
    on from there. Uses the Ray that this process is connected to, if it is, and leaves it connected.

    Raises ImportError where Ray is not installed, and what `ug.train` raises.
    """
    ray, how, root = library(), how or OnRay(), Path(out)
    create(root)
    take_in_what_was_left(root)
    with ExitStack() as stack:
        todo, _ = stack.enter_context(prepared(specs, root, progress, names, parts))
        if todo:
            stack.enter_context(_connected(ray, how, max(spec.threads for spec in todo)))
            kinds = {kind(spec) for spec in todo}
            pace = Pace(todo, stored_rates(kinds, stores_of(root)))
            cluster = _Cluster(ray, how.gpus_per_worker, has_many_shapes=len(kinds) > MOST_COMPILED)
            cluster.check({spec.threads for spec in todo})
            Dispatch(todo, root, cluster, pace, progress, pack=how.pack, most=how.workers).run()
    return Store(root)


@contextmanager
def _connected(ray: Any, how: OnRay, threads: int) -> Iterator[None]:
    """Connected to a cluster, or to Ray on this machine alone; whatever is begun here ends here."""
    if ray.is_initialized():
        yield
        return
    address = how.address or os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    alone: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    if how.workers is not None:
        alone["num_cpus"] = how.workers * threads
    if not address:
        os.environ.setdefault("RAY_worker_niceness", "0")  # as workers without Ray are
    with _sigterm_as_it_is():
        try:
            ray.init(address=address or "local", **quiet, **({} if address else alone))
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            told = in_one_line(str(error))[:300]
            raise SweepError(
                f"Ray at {address}: {told}: give the address of a cluster that runs"
                if address
                else f"Ray does not start on this machine: {told}"
            ) from None
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _sigterm_as_it_is() -> Iterator[None]:
    """Ray takes the signal by which jobs are ended for itself; here it ends the sweep in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _task(order: Order) -> Iterator[str | Heard]:
    """What runs on a machine: which it is, then what is heard of the order."""
    yield import_module("ray").get_runtime_context().get_node_id()
    yield from carried_out(order)


@dataclass(eq=False)
class _Ticket:
    """A task, and the machine that it runs on once that is known."""

    answers: Any
    node: str = ""


class _Cluster:
    """Ray's machines, as `Dispatch` sees them."""

    def __init__(self, ray: Any, gpus: float, *, has_many_shapes: bool) -> None:
        self.ray, self.gpus = ray, gpus
        most = TASKS_OF_A_PROCESS if has_many_shapes else 10**6
        self.task = ray.remote(max_calls=most, max_retries=0)(_task)
        self.under_way: dict[Any, _Ticket] = {}
        self.looked, self.nodes = -LOOK_EVERY, []

    def check(self, threads: set[int]) -> None:
        """Raise SweepError where no machine has room for a worker."""
        for n in threads:
            if not self.slots(n):
                asked = f"{n} CPU{'' if n == 1 else 's'}" + (f" and {self.gpus:g} GPU" * bool(self.gpus))
                raise SweepError(
                    f"no machine that Ray has can hold a worker with {asked}: add one, or ask for less "
                    "(threads in the spec, --gpus-per-worker)"
                )

    def slots(self, threads: int) -> int:
        """How many workers of so many threads there is room for, if all else were done."""
        found = 0
        for node in self._alive():
            has = node["Resources"]
            n = int(has.get("CPU", 0) // threads)
            found += min(n, int(has.get("GPU", 0) / self.gpus + 1e-9)) if self.gpus else n
        return found

    def begin(self, order: Order, threads: int) -> _Ticket:
        """Hand over an order as a task."""
        environment = {"env_vars": self._variables(threads)}
        options = {"num_cpus": threads, "num_gpus": self.gpus, "runtime_env": environment}
        ticket = _Ticket(self.task.options(**options).remote(order))
        self.under_way[ticket.answers] = ticket
        return ticket

    def heard(self, seconds: float) -> Iterator[tuple[_Ticket, Heard | Lost]]:
        """What tasks have said, within some seconds."""
        tasks = list(self.under_way)
        if tasks and self.ray.wait(tasks, num_returns=1, timeout=seconds)[0]:
            for answers in self.ray.wait(tasks, num_returns=len(tasks), timeout=0)[0]:
                ticket = self.under_way[answers]
                told = self._told(ticket)
                if isinstance(told, Lost) or (told is not None and told.seconds is not None):
                    del self.under_way[answers]
                if told is not None:
                    yield ticket, told

    def give_up(self) -> None:
        """End all tasks."""
        for answers in self.under_way:
            self._cancel(answers)
        self.under_way.clear()

    def _cancel(self, answers: Any) -> None:
        with suppress(self.ray.exceptions.RayError):
            self.ray.cancel(answers, force=True)

    def went_on(self, ticket: _Ticket) -> bool:
        """Whether the machine of a lost task is there still."""
        return any(node["NodeID"] == ticket.node for node in self._alive())

    def _told(self, ticket: _Ticket) -> Heard | Lost | None:
        errors = self.ray.exceptions
        try:
            told = self.ray.get(next(ticket.answers))
        except errors.RayTaskError as error:
            raise _wrong(error) from None
        except errors.RuntimeEnvSetupError as error:
            raise SweepError(f"Ray cannot start a worker: {in_one_line(str(error))[:300]}") from None
        except (errors.RayError, StopIteration) as error:
            self._cancel(ticket.answers)
            said = in_one_line(str(error)).partition(" The process receiving")[0]
            return Lost(f"{type(error).__name__}: {said[:200]}" if said else type(error).__name__)
        if isinstance(told, str):
            ticket.node = told
            return None
        return told

    def _variables(self, threads: int) -> dict[str, str]:
        """The environment of a worker. NPROC is the size of the one thread pool of XLA's CPU backend."""
        told = {name: value for name, value in os.environ.items() if name.startswith(TOLD)}
        if not self.gpus:
            told["JAX_PLATFORMS"] = "cpu"
        elif self.gpus < 1:  # JAX would take most of the memory for the first of those that share it
            told.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 * self.gpus:.3f}")
        return {**told, "NPROC": str(threads), "PYTHONUNBUFFERED": "1"}

    def _alive(self) -> list[Any]:
        if time.monotonic() - self.looked >= LOOK_EVERY:
            self.nodes = [node for node in self.ray.nodes() if node["Alive"]]
            self.looked = time.monotonic()
        return self.nodes


def _wrong(error: Any) -> Exception:
    """What a task raised, as the sweep says it."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, SpecError):
        return SpecError(str(cause))
    if isinstance(cause, NotCarriedOutError):
        return SweepError(f"{cause}: fix this and run the same command again")
    told = in_one_line(f"{type(cause).__name__}: {cause}" if cause else str(error))
    return SweepError(f"a worker of Ray could not go on: {told[:500]}")
