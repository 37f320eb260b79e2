"""Forms that several codec families share: bases by the kind of their payload, gains, grids of levels, scales."""
