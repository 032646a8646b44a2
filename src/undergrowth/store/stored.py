"""What is asked of a stored run by those that make a row of it, or say how it ended."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import xarray as xr

    from undergrowth.spec import RunSpec
    from undergrowth.store.parts import Part


class Happened(NamedTuple):
    """Something that happened in a run at a step: what kind of event, and what there is to say of it."""

    step: int
    kind: str
    detail: dict[str, Any]


class Stored(Protocol):
    """A run as `reader.Run` has it."""

    @property
    def spec(self) -> RunSpec: ...
    @property
    def status(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def has_ended(self) -> bool: ...
    @property
    def stopped(self) -> tuple[int, str] | None: ...
    @property
    def given_names(self) -> tuple[str, ...]: ...
    @property
    def parts(self) -> tuple[Part, ...]: ...
    @cached_property
    def names(self) -> tuple[str, ...]: ...
    @cached_property
    def curves(self) -> xr.Dataset: ...
    @cached_property
    def happened(self) -> tuple[Happened, ...]: ...
    def __getitem__(self, name: str) -> xr.DataArray: ...
