"""Quantizers of [S], "Limits on Gradient Compression", and of its companion [R], RATQ."""
