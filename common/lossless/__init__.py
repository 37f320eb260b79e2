"""Lossless coders of integers, sets and signs: radix, subset, Elias, Huffman, range coder."""
