"""Tasks that are the composition of a group, and the weights that belong to its elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from undergrowth.gating.attribution import site_of
from undergrowth.measures.reading import Observed
from undergrowth.models import MLP, Ablated, Model, Transformer, TwoTokenMLP
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


def quotients(group: str) -> tuple[np.ndarray, np.ndarray]:
    """Which b makes ab = g, and which makes a b^-1 = g: int32 [a, g] each."""
    table = products(group)
    inverse = table.argmin(axis=1)
    return table[inverse], table[inverse].T


def element_weights(model: Model, table: GroupTable) -> dict[str, Float[np.ndarray, "element feature"]]:
    """The weights that belong to single elements, by name, float64.

    Embeddings: W_E; W_x and W_y of a two-token MLP; W_in[x] and W_in[y], the rows of a plain MLP's
    first layer, which are its embeddings of one-hot vectors. And, by label, W_L, from the last neurons
    to the logits (W_out W_U of a transformer), or W_U where a norm stands between.
    """
    network = _behind_gates(model)
    found: dict[str, tuple[ArrayLike, np.ndarray]] = {}
    if isinstance(network, Transformer):
        found = {"W_E": (network.embed.W_E, table.x)}
    elif isinstance(network, TwoTokenMLP):
        found = {"W_x": (network.embed.W_x, table.x), "W_y": (network.embed.W_y, table.y)}
    elif isinstance(network, MLP):
        of_x, of_y = np.split(np.asarray(network.mlp[0].W_in), 2)
        found = {"W_in[x]": (of_x, table.x), "W_in[y]": (of_y, table.y)}
    W_L = network.readout(site_of(network, "neuron"))
    if W_L is not None:
        found["W_L"] = W_L.T, table.label
    elif isinstance(network, Transformer):
        found["W_U"] = network.unembed.W_U.T, table.label
    return {name: np.asarray(weights, np.float64)[rows] for name, (weights, rows) in found.items()}


def neuron_weights(model: Model, table: GroupTable) -> list[Float[np.ndarray, "element neuron"]]:
    """What each neuron of the last layer reads of each element and writes to each label, as far as it
    is one number: from x and from y in an MLP of one hidden layer, to the label where W_L is.
    """
    network = _behind_gates(model)
    weights = element_weights(network, table)
    found = [weights["W_L"]] if "W_L" in weights else []
    if isinstance(network, TwoTokenMLP):
        W_in = np.asarray(network.mlp.W_in, np.float64)
        d_embed = weights["W_x"].shape[1]
        of_y = W_in[d_embed:] if network.combine == "concatenated" else W_in
        found += [weights["W_x"] @ W_in[:d_embed], weights["W_y"] @ of_y]
    elif isinstance(network, MLP) and len(network.mlp) == 1:
        found += [weights["W_in[x]"], weights["W_in[y]"]]
    return found


def _behind_gates(model: Model) -> Model:
    return _behind_gates(model.model) if isinstance(model, Ablated) else model


def _powers_of_a_primitive_root(p: int) -> Int[np.ndarray, " power"]:
    """g^0, g^1, .. g^(p-2) mod the prime p, which are all numbers but 0, for the smallest such g."""
    for g in range(2, p):
        powers = [1]
        while (power := powers[-1] * g % p) != 1:
            powers.append(power)
        if len(powers) == p - 1:
            return np.array(powers)
    raise AssertionError(f"{p} is a prime, so it has a primitive root")
