"""Charts: tidy tables drawn by a handful of marks, on a screen and on paper alike."""

from undergrowth.report.charts.description import Chart, Colours, Layer, Look, Scale

__all__ = ["Chart", "Colours", "Layer", "Look", "Scale"]
