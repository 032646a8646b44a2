"""What theory says of a general circuit and n shallow ones that answer the same examples.

The logits are s G + sum_i v_i M_i, where the general circuit G and the look-up M_i of example i both
write 1 at the label. With residuals rho_i = 1 - p_i, gradient flow on the mean cross-entropy is
s' = g sum_i rho_i / n - lambda_G s and v_i' = rho_i / n - lambda_M v_i: the flow of one number s and,
where all look-ups begin alike, of one number v. A general circuit of d layers has s = u^d, each of its
equal factors u with u' = g u^(d-1) sum_i rho_i / n - lambda_G u (Saxe et al. 2014, arXiv:1312.6120).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Numbers = Sequence[float] | Sequence[int] | np.ndarray
Rule = Literal["sgd", "sign_sgd", "adamw"]
BETAS, EPS = (0.9, 0.98), 1e-8
"""Of Adam, as in `training.optimisers`."""


@dataclass(frozen=True)
class Rivals:
    """Two strengths that compete, and what each is under.

    n: examples, so look-ups; n_labels; general, shallow: strengths before; factors: of how many equal
    numbers the general strength is the product, each of which has the push and the decay; gain: what the
    general circuit's gradient is multiplied by (and, one example at a time, share: at which share of the
    steps it has one); decay_general, decay_shallow: the rates lambda.
    """

    n: int
    n_labels: int
    general: float = 0.1
    shallow: float = 0.1
    factors: int = 1
    gain: float = 1.0
    share: float = 1.0
    decay_general: float = 0.0
    decay_shallow: float = 0.0

    def residual(self, margin: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        """1 - p of a label whose logit is `margin` above all others, which are equal."""
        others = self.n_labels - 1
        return others / (others + np.exp(margin))

    @property
    def has_decay(self) -> bool:
        """Whether anything decays, so that strengths and not gains are compared."""
        return self.decay_general + self.decay_shallow > 0

    def ratio(self, s: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Of what the general circuit gained to what a look-up did; of the strengths under decay."""
        if self.has_decay:
            return s / v
        gained = v - self.shallow
        return np.divide(s - self.general, gained, out=np.full_like(gained, np.nan), where=gained != 0)

    def share_of_general(self, s: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Its part of what both have gained, in [0, 1]; of the strengths under decay. 1/2 is a tie."""
        ratio = self.ratio(s, v)
        return ratio / (1 + ratio)


def flow(rivals: Rivals, times: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The strengths s and v at the given times, ascending from 0, by gradient flow; float64 [time].

    share enters as its mean: at small steps the sum of what comes is what counts.
    """
    from scipy.integrate import solve_ivp

    gain = rivals.gain * rivals.share

    d = rivals.factors

    def slope(_: float, at: np.ndarray) -> np.ndarray:
        u, v = at
        rho = rivals.residual(u**d + v)
        return np.array(
            [
                gain * rho * u ** (d - 1) - rivals.decay_general * u,
                rho / rivals.n - rivals.decay_shallow * v,
            ]
        )

    begin = np.array([rivals.general ** (1 / d), rivals.shallow])
    found = solve_ivp(
        slope, (0.0, times[-1]), begin, method="LSODA", t_eval=times, rtol=1e-9, atol=1e-11
    )
    return found.y[0] ** d, found.y[1]


def crossing(steps: Numbers, s: np.ndarray, v: np.ndarray) -> float | None:
    """The step at which s, which begins below v, first reaches it: on the straight line between two.
    None where it does not begin below, or never gets there.

    >>> crossing([0, 10, 20], np.array([0.0, 1.0, 5.0]), np.array([2.0, 2.0, 2.0]))
    12.5
    """
    ahead = np.asarray(s, float) - np.asarray(v, float)
    if ahead[0] >= 0 or not (ahead >= 0).any():
        return None
    at = int(np.argmax(ahead >= 0))
    share = -ahead[at - 1] / (ahead[at] - ahead[at - 1])
    return float(steps[at - 1] + share * (steps[at] - steps[at - 1]))


def descent(
    rivals: Rivals,
    rule: Rule,
    lr: float,
    at: Sequence[int],
    *,
    batch_size: int | None = None,
    betas: tuple[float, float] = BETAS,
    n_draws: int = 64,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The strengths after so many updates, ascending: s and the mean of v over look-ups, each
    [step, draw], float64.

    Steps are finite and batches are drawn as shuffled epochs (None: all examples, and one draw tells
    all), so it differs from `flow` by what these do: a rare push that is n times as large overshoots.
    Decay is apart from the gradient, which for plain SGD is the same.
    """
    n, size = rivals.n, batch_size or rivals.n
    rng = np.random.default_rng(seed)
    at_once = 1 if batch_size is None and rivals.share == 1 else n_draws
    w = np.full((at_once, n + 1), rivals.shallow)
    d = rivals.factors
    w[:, -1] = rivals.general ** (1 / d)
    decay = np.append(np.full(n, rivals.decay_shallow), rivals.decay_general)
    m, square, order = np.zeros_like(w), np.zeros_like(w), np.zeros((at_once, n), int)
    found = []
    for step in range(at[-1] + 1):
        if step in at:
            found.append((w[:, -1] ** d, w[:, :-1].mean(axis=1)))
        place = step % (n // size)
        if place == 0:
            order = rng.permuted(np.tile(np.arange(n), (at_once, 1)), axis=1)
        shown = order[:, place * size : (place + 1) * size]
        g = np.zeros_like(w)
        rho = rivals.residual(w[:, -1:] ** d + np.take_along_axis(w, shown, axis=1)) / size
        np.put_along_axis(g, shown, rho, axis=1)
        g[:, -1] = rivals.gain * rho.sum(axis=1) * (rng.random(at_once) < rivals.share)
        g[:, -1] *= w[:, -1] ** (d - 1)
        if rule == "adamw":
            m = betas[0] * m + (1 - betas[0]) * g
            square = betas[1] * square + (1 - betas[1]) * g**2
            root = np.sqrt(square / (1 - betas[1] ** (step + 1)))
            g = m / (1 - betas[0] ** (step + 1)) / (root + EPS)
        elif rule == "sign_sgd":
            g = np.sign(g)
        w = w + lr * (g - decay * w)
    s, v = zip(*found, strict=True)
    return np.stack(s), np.stack(v)


def adam_gains(
    served: Sequence[int],
    n: int,
    batch_size: int | None,
    n_steps: int,
    *,
    betas: tuple[float, float] = BETAS,
    residual: float = 1.0,
    n_draws: int = 32,
    seed: int = 0,
) -> Float[np.ndarray, " block"]:
    """How far blocks that serve so many of n examples go under Adam at a rate of 1, in the mean.

    A block's gradient is residual times the share of the batch that it serves, while residuals stay as
    they are: batches are drawn without replacement within an epoch. None: all examples.
    """
    rng = np.random.default_rng(seed)
    k = np.asarray(served, int)
    b1, b2 = betas
    m = np.zeros((n_draws, len(k)))
    v, gone = np.zeros_like(m), np.zeros_like(m)
    left, rest = np.tile(k, (n_draws, 1)), n
    per_epoch = 1 if batch_size is None else n // batch_size
    size = n if batch_size is None else batch_size
    for step in range(n_steps):
        if step % per_epoch == 0:
            left, rest = np.tile(k, (n_draws, 1)), n
        hits = rng.hypergeometric(left, rest - left, size)
        left, rest = left - hits, rest - size
        g = residual * hits / size
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        mean, square = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
        gone += mean / (np.sqrt(square) + EPS)
    return gone.mean(axis=0)


def exponent(k: Numbers, gained: Numbers) -> float:
    """The slope of log gain on log k by least squares.

    >>> round(exponent([1, 2, 4], [3.0, 6.0, 12.0]), 6)
    1.0
    """
    x, y = np.log(np.asarray(k, float)), np.log(np.asarray(gained, float))
    return float(np.polyfit(x, y, 1)[0])


def local_exponents(k: Numbers, gained: Numbers) -> Float[np.ndarray, " pair"]:
    """The slope from each k to the next."""
    x, y = np.log(np.asarray(k, float)), np.log(np.asarray(gained, float))
    return np.diff(y) / np.diff(x)
