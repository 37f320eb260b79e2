"""What several codec families share: bases by the shape of their payload, gains, grids of levels."""
