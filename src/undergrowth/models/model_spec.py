"""What says which model a run trains: its shape, how it is drawn, and what it can read."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from undergrowth.models.initialisation import Chance
from undergrowth.models.model import Model
from undergrowth.tasks import InputSpace
from undergrowth.values import Value


class ModelSpec(Value):
    """A model before it is drawn; a final subclass adds a literal field `name` and its parameters.

    components: of which kinds its sites have components (`Site.component`).
    """

    components: ClassVar[tuple[str, ...]]

    @abstractmethod
    def takes(self, inputs: InputSpace) -> bool:
        """Whether such a model can read these inputs."""

    @abstractmethod
    def init(self, inputs: InputSpace, n_labels: int, rng: Chance | None) -> Model:
        """A freshly drawn model; equal generators give equal models, None one of mere shapes."""
