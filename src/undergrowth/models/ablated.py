"""A model some of whose components are ablated for good."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Array, Float

from undergrowth.models.model import Inputs, Model
from undergrowth.models.sites import Site, Tap, gated, untapped
from undergrowth.models.watching import Watch, unwatched


class Ablated(Model):
    """Another model behind fixed gates, for whoever measures it: `sites.gated` says what a gate does.

    gates: by site name, [component]; baselines: by site name, in the shape of one activation as the
    wrapped model's `__call__` hands it to a tap, zero where none is given. A tap sees the activations
    behind the gates.
    """

    model: Model
    gates: Mapping[str, Float[Array, " component"]]
    baselines: Mapping[str, Float[Array, ...]]

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.model.sites

    def slices(self, site: Site) -> Mapping[str, int]:
        """As the wrapped model's; names are those of its own state dict."""
        return self.model.slices(site)

    def readout(self, site: Site) -> Float[Array, "component label"] | None:
        """As the wrapped model's: a tap, and so whoever asks, sees activations behind the gates."""
        return self.model.readout(site)

    def __call__(self, inputs: Inputs, tap: Tap = untapped) -> Float[Array, "example label"]:
        """Logits of the gated model, by its own fast pass."""
        return self.model(inputs, self._behind_gates(tap))

    def plain(
        self, inputs: Inputs, tap: Tap = untapped, watch: Watch = unwatched
    ) -> Float[Array, "example label"]:
        """Logits of the gated model, by its own textbook pass; a watch sees its own weights."""
        return self.model.plain(inputs, self._behind_gates(tap), watch)

    def _behind_gates(self, tap: Tap) -> Tap:
        if not self.gates:
            return tap
        gate = gated(self.sites, self.gates, self.baselines)
        return lambda name, activation: tap(name, gate(name, activation))
