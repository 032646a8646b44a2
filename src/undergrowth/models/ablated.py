"""A model some of whose components are ablated for good."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Array, Float

from undergrowth.models.model import ElementRows, ElementWeights, Inputs, Model, NeuronsRead
from undergrowth.models.sites import Hook, Site, gated, no_hook
from undergrowth.models.write_hooks import WriteHook, no_write_hook


class Ablated(Model):
    """Another model with fixed gates, for measuring it: `sites.gated` says what a gate does.

    gates: by site name, [component]; baselines: by site name, in the shape of one activation as the
    wrapped model's `__call__` hands it to a hook, zero where none is given. A hook sees the activations
    after the gates.
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
        """As the wrapped model's: a hook, and so whoever asks, sees activations behind the gates."""
        return self.model.readout(site)

    @property
    def unembedding(self) -> Float[Array, "feature d_vocab_out"]:
        return self.model.unembedding

    def element_weights(self) -> ElementWeights:
        return self.model.element_weights()

    def element_rows(self) -> ElementRows:
        return self.model.element_rows()

    def neurons_read(self) -> NeuronsRead:
        return self.model.neurons_read()

    @property
    def network(self) -> Model:
        return self.model.network

    def with_network(self, network: Model) -> Model:
        return Ablated(self.model.with_network(network), self.gates, self.baselines)

    def __call__(self, inputs: Inputs, hook: Hook = no_hook) -> Float[Array, "example label"]:
        """Logits of the gated model, by its own fast pass."""
        return self.model(inputs, self._behind_gates(hook))

    def plain(
        self, inputs: Inputs, hook: Hook = no_hook, write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example label"]:
        """Logits of the gated model, by its own textbook pass; a write hook sees its own weights."""
        return self.model.plain(inputs, self._behind_gates(hook), write_hook)

    def _behind_gates(self, hook: Hook) -> Hook:
        if not self.gates:
            return hook
        gate = gated(self.sites, self.gates, self.baselines)
        return lambda name, activation: hook(name, gate(name, activation))
