"""Point sets of [V], vqSGD."""
