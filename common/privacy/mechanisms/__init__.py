"""Mechanisms on the indices of point sets, by name."""

# Importing a module registers its mechanism.
from gradwire.common.privacy.mechanisms import (
    randomized_response,
    subset_selection,
    unary,
)
from gradwire.common.privacy.mechanisms.base import (
    MECHANISMS,
    Mechanism,
    Moments,
    Response,
    build_mechanism,
    stated,
)
from gradwire.common.privacy.mechanisms.masses import UNKNOWN, Masses

__all__ = [
    "MECHANISMS",
    "UNKNOWN",
    "Masses",
    "Mechanism",
    "Moments",
    "Response",
    "build_mechanism",
    "randomized_response",
    "stated",
    "subset_selection",
    "unary",
]
