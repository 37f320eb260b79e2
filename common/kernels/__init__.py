"""Vectorised primitives for NumPy and torch: bit packing, Hadamard transform, weighted sampling, type coding."""
