"""How it learns: objectives, optimisers, batches, noise, interventions, and the state of a run."""
