"""The start of a run from given arrays: they take the place of those that the first worker made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import all_finite
from gradwire.common.errors import LayoutError
from gradwire.common.training.layout import Layout, LayoutArray, Role, constant_digest
from gradwire.common.weights.arrays import Array, Weights, by_layout

COUNT = "num_batches_tracked"  # of a normalisation layer: counts its batches, and no run goes on counting


def vector_from(layout: Layout, weights: Weights) -> NDArray[np.float32]:
    """The flat vector [dim] of a model with these arrays.

    Constant arrays may be missing; those that are there must be the run's.

    Raises:
        LayoutError: an array is missing, unknown to the layout, of another shape or dtype, or not finite; or a constant
            one has other values.
    """
    found = by_layout(layout, weights)
    for array in _moving(layout):
        if array.name not in found:
            raise LayoutError(f"{array.name} is missing, which the run's model has")
    known = {array.name: array for array in layout.arrays}
    for name, given in found.items():
        if name not in known:
            raise LayoutError(f"it has {name}, which the run's model has not")
        _check(known[name], given)
    parts = [found[array.name].widened().reshape(-1) for array in _moving(layout)]
    return np.concatenate(parts)


def _moving(layout: Layout) -> Sequence[LayoutArray]:
    return [array for array in layout.arrays if array.role is not Role.CONSTANT]


def _check(array: LayoutArray, given: Array) -> None:
    if given.shape != array.shape:
        raise LayoutError(
            f"{array.name} has the shape {list(given.shape)}, the run's model has {list(array.shape)} there"
        )
    if array.role is Role.CONSTANT:
        counts = array.name.rpartition(".")[2] == COUNT
        if not counts and (given.dtype != array.dtype or constant_digest(given.data) != array.digest):
            raise LayoutError(
                f"the constant array {array.name} has other values than the run's model: let the task make it so"
            )
        return
    try:
        values = given.widened()
    except LayoutError as error:
        raise LayoutError(f"{array.name}: {error}") from error
    if not all_finite(values):
        raise LayoutError(f"{array.name} holds numbers that are not finite, or are beyond float32")


def weights_digest(weights: Weights) -> str:
    """32 hexadecimal digits that are equal when, and only when, names, shapes, dtypes and values are."""
    total = hashlib.blake2b(digest_size=16, person=b"gradwire-weights")
    for name in sorted(weights):
        array = weights[name]
        total.update(f"{len(name)} {name} {array.dtype} {list(array.shape)} ".encode())
        total.update(array.data)
    return total.hexdigest()
