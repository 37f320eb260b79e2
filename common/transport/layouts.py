"""Layouts as protobuf messages, and what a peer's layout is checked for."""

from __future__ import annotations

from collections.abc import Sequence

from gradwire.common.errors import InvalidArgument, LayoutError
from gradwire.common.training.layout import Layout, LayoutArray, Role, constant_digest
from gradwire.proto import wire_pb2

_ROLES = {
    wire_pb2.Array.TRAINED: Role.TRAINED,
    wire_pb2.Array.AVERAGED: Role.AVERAGED,
    wire_pb2.Array.CONSTANT: Role.CONSTANT,
}
_NUMBERS = {role: number for number, role in _ROLES.items()}


def layout_to_message(layout: Layout) -> wire_pb2.Layout:
    """A layout as a message."""
    arrays = (
        wire_pb2.Array(
            name=array.name,
            shape=array.shape,
            dtype=array.dtype,
            role=_NUMBERS[array.role],
            digest=array.digest,
            aliases=array.aliases,
        )
        for array in layout.arrays
    )
    return wire_pb2.Layout(arrays=arrays, schema=layout.schema)


def layout_from_message(message: wire_pb2.Layout) -> Layout:
    """A layout from a message.

    Raises:
        InvalidArgument: it is none: more arrays than are taken, an unknown dtype or role, no trained array.
    """
    try:
        return Layout(tuple(map(_array, message.arrays)), schema=message.schema)
    except LayoutError as error:
        raise InvalidArgument(f"the model's layout: {error}") from error


def _array(message: wire_pb2.Array) -> LayoutArray:
    if message.role not in _ROLES:
        raise LayoutError(
            f"{message.name[:40]!r} has the role {message.role}: the peer speaks another version"
        )
    return LayoutArray(
        message.name,
        tuple(message.shape),
        message.dtype,
        _ROLES[message.role],
        message.digest,
        tuple(message.aliases),
    )


def check_constants(layout: Layout, values: Sequence[bytes]) -> None:
    """Check the values of constant arrays that came with an initial model; none at all are allowed.

    Raises:
        InvalidArgument: not one for each constant array, or one that is not what its digest says.
    """
    if not values:
        return
    if len(values) != len(layout.constants):
        raise InvalidArgument(
            f"{len(values)} constant arrays came with the initial model, its layout has {len(layout.constants)}"
        )
    for array, data in zip(layout.constants, values, strict=True):
        if len(data) != array.nbytes or constant_digest(data) != array.digest:
            raise InvalidArgument(f"the constant array {array.name} is not the one that its digest names")
