"""Tasks that are the composition of a group, and the weights that belong to its elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from undergrowth.gating.attribution import site_of
from undergrowth.measures.context import MeasuredRun
from undergrowth.measures.reading import Observed
from undergrowth.models import Model
from undergrowth.models.model import Operand
from undergrowth.tasks import Group, Modular, Operation, Task
from undergrowth.tasks.groups import products
from undergrowth.tasks.modular import is_prime


@dataclass(frozen=True, eq=False)
class GroupTable:
    """Where the composition of a group stands in the table of a task: x[a] o y[b] = label[ab].

    group: its name as in `Group`; x, y, label: the token of each element as the left operand, as the
    right one and as the label, int [element], elements numbered as in `Group`.
    """

    group: str
    x: Int[np.ndarray, " element"]
    y: Int[np.ndarray, " element"]
    label: Int[np.ndarray, " element"]

    def operand(self, which: Operand) -> Int[np.ndarray, " element"]:
        """The token of each element as one of the operands."""
        return self.x if which == "x" else self.y


@dataclass(frozen=True, eq=False)
class Cells:
    """The examples of a group's table, in its order: all pairs (a, b).

    inputs: int [element, element, 2]; labels: as trained on; sides: train and val, as `Observed.sides`.
    """

    inputs: Int[np.ndarray, "element element 2"]
    labels: Int[np.ndarray, "element element"]
    sides: Bool[np.ndarray, "side element element"]

    @classmethod
    def of(cls, table: GroupTable, data: Observed) -> Cells:
        """The cells among all examples of the task."""
        inputs = np.asarray(data.inputs)
        at = np.full((inputs.max() + 1,) * 2, -1)
        at[inputs[:, 0], inputs[:, 1]] = np.arange(len(inputs))
        example = at[np.ix_(table.x, table.y)]
        return cls(inputs[example], np.asarray(data.labels)[example], np.stack(data.sides())[:, example])


def group_table(task: Task) -> GroupTable | None:
    """The group that a task composes, or None where it does not compose one of 2 elements or more.

    x + y and x - y mod p are the group C{p}; x * y and x / y mod a prime p, between the numbers other
    than 0, are C{p - 1}, whose element i is g^i for the smallest primitive root g; xy in a group is
    that group.

    >>> table = group_table(Modular(operation="x/y", p=5))
    >>> table.group, table.x.tolist(), table.y.tolist()
    ('C4', [1, 2, 4, 3], [1, 3, 4, 2])
    """
    if isinstance(task, Group) and task.operation == "xy":
        elements = np.arange(task.n_operands)
        return GroupTable(task.group, elements, elements, elements)
    if not isinstance(task, Modular):
        return None
    if task.operation in ("x+y", "x-y"):
        tokens = np.arange(task.p)
        inverse = -tokens % task.p
    elif task.operation in ("x*y", "x/y") and is_prime(task.p) and task.p > 2:
        tokens = _powers_of_a_primitive_root(task.p)
        inverse = tokens[-np.arange(task.p - 1)]
    else:
        return None
    is_inverted = task.operation in ("x-y", "x/y")
    return GroupTable(f"C{len(tokens)}", tokens, inverse if is_inverted else tokens, tokens)


def group_table_or_refuse(task: Task, measure: str, needs: str = "a group") -> GroupTable:
    """The group that a task composes; raises ValueError, naming the measure that fits, where none."""
    table = group_table(task)
    if table is None:
        instead = "areas" if isinstance(task, Operation) else "curves"
        raise ValueError(
            f"measure {measure!r} needs a task that composes {needs}, and {task.describe()} does not: "
            f"take {instead!r}"
        )
    return table


def needs_neurons(run: MeasuredRun, measure: str) -> None:
    """Raise ValueError where the run's model has no neurons, and so no weights of elements."""
    if "neuron" not in run.model.components:
        raise ValueError(
            f"measure {measure!r} looks at neurons, which a {run.model.name} lacks: take "
            f"'component_norms' of component = {run.model.components[0]!r}"
        )


def quotients(group: str) -> tuple[np.ndarray, np.ndarray]:
    """Which b makes ab = g, and which makes a b^-1 = g: int32 [a, g] each."""
    table = products(group)
    inverse = table.argmin(axis=1)
    return table[inverse], table[inverse].T


def element_weights(model: Model, table: GroupTable) -> dict[str, Float[np.ndarray, "element feature"]]:
    """The weights that belong to single elements, by name, float64.

    Those that the model has for its operands (`Model.element_weights`), and, by label, W_L, from the
    last neurons to the logits (W_out W_U of a transformer), or W_U where a norm stands between or there
    are no neurons.
    """
    found = {
        name: (weights, table.operand(of)) for name, (of, weights) in model.element_weights().items()
    }
    has_neurons = any(site.component == "neuron" for site in model.sites)
    W_L = model.readout(site_of(model, "neuron")) if has_neurons else None
    if W_L is None:
        found["W_U"] = model.unembedding.T, table.label
    else:
        found["W_L"] = W_L.T, table.label
    return {name: np.asarray(weights, np.float64)[at] for name, (weights, at) in found.items()}


def neuron_weights(model: Model, table: GroupTable) -> list[Float[np.ndarray, "element neuron"]]:
    """What each neuron of the last layer writes to each label and reads of each element, as far as it
    is one number: to the label where W_L is, from x and from y as `Model.neurons_read` has it.
    """
    weights = element_weights(model, table)
    found = [weights["W_L"]] if "W_L" in weights else []
    return found + [read[table.operand(of)] for of, read in model.neurons_read().items()]


def _powers_of_a_primitive_root(p: int) -> Int[np.ndarray, " power"]:
    """g^0, g^1, .. g^(p-2) mod the prime p, which are all numbers but 0, for the smallest such g."""
    for g in range(2, p):
        powers = [1]
        while (power := powers[-1] * g % p) != 1:
            powers.append(power)
        if len(powers) == p - 1:
            return np.array(powers)
    raise AssertionError(f"{p} is a prime, so it has a primitive root")
