"""How it learns: losses, optimisers, interventions and the compiled engine."""
