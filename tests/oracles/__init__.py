"""Tests against other libraries that are too large for `make test`; `make test-oracles` runs them."""
