"""Measurements of gnnkit beside its peers' own loops; see docs/benchmarks.md. Not part of the package."""
