"""First pictures as SVG: what a scene shows before, or without, its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 16, 40


def lines(
    series: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]],
    colours: Mapping[str, str],
    *,
    x: str,
    y: str,
    y_range: tuple[float, float] = (0.0, 1.0),
    log_x: bool = True,
) -> Markup:
    """Lines by name, (x, y) each; colours are CSS values. A logarithmic axis has 0 at its left end."""
    along = {name: _along(np.asarray(xs, float), log_x) for name, (xs, _) in series.items()}
    ends = [value for places in along.values() for value in (places.min(), places.max())]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    paths = []
    for name, (_, ys) in series.items():
        across = (np.asarray(ys, float) - y_range[0]) / (y_range[1] - y_range[0])
        known = np.isfinite(across)
        places = (along[name] - low) / max(high - low, 1e-9)
        at_x = LEFT + places[known] * (WIDTH - LEFT - RIGHT)
        at_y = HEIGHT - BOTTOM - np.clip(across[known], 0, 1) * (HEIGHT - TOP - BOTTOM)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(at_x, at_y, strict=True))
        colour = escape(colours[name])
        paths.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    words = [
        _text(WIDTH / 2, HEIGHT - 8, x, "middle"),
        _text(LEFT, TOP - 3, y, "start"),
        _text(LEFT - 6, TOP + 10, f"{y_range[1]:g}", "end"),
        _text(LEFT - 6, HEIGHT - BOTTOM, f"{y_range[0]:g}", "end"),
    ]
    names = [
        f'<text x="{LEFT + 8 + 150 * i}" y="{HEIGHT - BOTTOM + 18}" fill="{escape(colours[name])}">'
        f"{escape(name)}</text>"
        for i, name in enumerate(list(series)[:4])
    ]
    frame = (
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="var(--line)"/>'
    )
    return svg(frame + "".join(paths + words + names))


def cells(classes: Mapping[str, np.ndarray], n: int) -> Markup:
    """An n x n table of squares; by CSS colour, which cells [n * n] have it."""
    paths = []
    size = min(WIDTH, HEIGHT) / n
    for colour, of in classes.items():
        squares = "".join(f"M{at // n} {at % n}h.9v.9h-.9z" for at in np.flatnonzero(of))
        paths.append(f'<path d="{squares}" fill="{escape(colour)}"/>')
    left = (WIDTH - n * size) / 2
    return svg(f'<g transform="translate({left:.1f} 0) scale({size:.4f})">{"".join(paths)}</g>')


def waves(of_neuron: np.ndarray, columns: int) -> Markup:
    """Small curves [neuron, x] in rows of so many, each to its own scale."""
    n, n_x = of_neuron.shape
    wide, high = WIDTH / columns, HEIGHT / -(-n // columns)
    paths = []
    for i, values in enumerate(of_neuron):
        left, middle = i % columns * wide, (i // columns + 0.5) * high
        size = max(float(np.abs(values).max()), 1e-9)
        points = " ".join(
            f"{left + 3 + x * (wide - 6) / max(n_x - 1, 1):.0f},{middle - v / size * high * 0.4:.0f}"
            for x, v in enumerate(values)
        )
        paths.append(f'<polyline points="{points}" fill="none" stroke="var(--general)"/>')
    return svg("".join(paths))


def svg(inner: str) -> Markup:
    """The drawing around its content."""
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{inner}</svg>')


def _along(x: np.ndarray, is_log: bool) -> np.ndarray:
    """Where a step is; 0 has no logarithm, and stands at half of the first step after it."""
    if not is_log:
        return x
    return np.log10(np.maximum(x, x[x > 0].min() / 2 if (x > 0).any() else 1.0))


def _text(x: float, y: float, said: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(said)}</text>'
