"""Vectorised primitives on NumPy arrays and torch tensors: bit packing, transforms, weighted sampling, sums."""
