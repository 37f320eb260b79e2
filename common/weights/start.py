"""The start of a run from given arrays: they take the place of those that the first worker made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

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
        _check_constant(array, constant_digest(given.data) if given.dtype == array.dtype else b"")
        return
    try:
        values = given.widened()
    except LayoutError as error:
        raise LayoutError(f"{array.name}: {error}") from error
    if not all_finite(values):
        raise LayoutError(f"{array.name} holds numbers that are not finite, or are beyond float32")


def _check_constant(array: LayoutArray, digest: bytes) -> None:
    counts = array.name.rpartition(".")[2] == COUNT
    if digest != array.digest and not counts:
        raise LayoutError(
            f"the constant array {array.name} has other values than in the run's model: let the task make the same"
        )


def weights_digest(weights: Weights) -> str:
    """32 hexadecimal digits that are equal when, and only when, names, shapes, dtypes and values are."""
    total = hashlib.blake2b(digest_size=16, person=b"gradwire-weights")
    for name in sorted(weights):
        array = weights[name]
        total.update(f"{len(name)} {name} {array.dtype} {list(array.shape)} ".encode())
        total.update(array.data)
    return total.hexdigest()


@dataclass(frozen=True, eq=False)
class Start:
    """What a run is to begin from.

    Attributes:
        source: names it in errors.
        weights: by name.
        constants: digests of constant arrays whose values are not here, by name.
    """

    source: str
    weights: Weights
    constants: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def digest(self) -> str:
        """Identifies it: see ``weights_digest``."""
        return weights_digest(self.weights)

    def vector(self, layout: Layout) -> NDArray[np.float32]:
        """The initial parameters [dim] of a run with this layout.

        Raises:
            LayoutError: they do not fit it, see ``vector_from``.
        """
        try:
            for array in layout.constants:
                _check_constant(array, self.constants.get(array.name, array.digest))
            return vector_from(layout, self.weights)
        except LayoutError as error:
            raise LayoutError(f"--init {self.source}: {error}") from error
