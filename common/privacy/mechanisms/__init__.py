"""Mechanisms on the indices of point sets, by name."""

from gradwire.common.privacy.mechanisms import (
    randomized_response,
    subset_selection,
    unary,
)  # register themselves
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
