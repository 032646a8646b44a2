"""Measures that rest on gates: how a score is spread over the components of a site."""
