"""Where the weights of an imported run come from: the files, what they held and what was assumed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from undergrowth.values import Value

SHOWN = 12
"""Most steps that an error lists."""


class OriginFile(Value):
    """A file that was imported: its name without a folder, and the SHA-256 of its bytes."""

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Origin(Value):
    """What makes a run that this laboratory did not train the run that it is.

    digest: SHA-256 of all that was imported, weights, moments and curves, so equal content is an equal
    run. checkpoints: the steps at which there are weights; moments: those of them at which the
    optimiser's moments came with the weights, from where the run can go on. fresh_optimiser: whether
    it may go on from the others too, with moments that start at zero there.

    The rest tells where it comes from and decides no id: dialect, the layout of the files; files;
    assumed: what the files do not say, in words; checked: what they say that could be computed again.
    """

    names_only: ClassVar[frozenset[str]] = frozenset({"dialect", "files", "assumed", "checked"})

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    checkpoints: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()
    fresh_optimiser: bool = False
    dialect: str = ""
    files: tuple[OriginFile, ...] = ()
    assumed: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _moments_are_of_checkpoints(self) -> Origin:
        if list(self.checkpoints) != sorted(set(self.checkpoints)):
            raise ValueError("checkpoints are not ascending steps: sort them, each once")
        strays = sorted(set(self.moments) - set(self.checkpoints))
        if strays:
            raise ValueError(f"moments at step {strays[0]} without weights there: leave them out")
        return self

    @property
    def file_names(self) -> str:
        """The names of the files in few words."""
        names = [file.name for file in self.files]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        return f"{', '.join(names[:2])}{more}" if names else "files that are not told"

    def check_goes_on(self, step: int) -> None:
        """Raise ValueError, in one line, where the run cannot go on from a step."""
        if step in self.moments or (self.fresh_optimiser and step in self.checkpoints):
            return
        if step not in self.checkpoints:
            has = ", ".join(map(str, self.checkpoints[:SHOWN])) or "none"
            more = f" and {len(self.checkpoints) - SHOWN} more" if self.checkpoints[SHOWN:] else ""
            raise ValueError(
                f"step {step}: the run was imported ({self.file_names}), with weights at {has}{more}: "
                "take one of these steps"
            )
        there = ", ".join(map(str, self.moments[:SHOWN]))
        instead = f"take step {there}, or import" if there else "import"
        raise ValueError(
            f"step {step}: the run was imported ({self.file_names}) with weights but without the "
            f"optimiser's moments there: {instead} it with --fresh-optimiser"
        )
