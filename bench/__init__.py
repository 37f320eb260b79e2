"""Benchmarks and the papers' experiments, as commands."""
