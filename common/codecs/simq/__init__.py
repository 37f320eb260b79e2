"""Quantizers of "Limits on Gradient Compression" (Mayekar, Tyagi 2020) and its companion RATQ."""
