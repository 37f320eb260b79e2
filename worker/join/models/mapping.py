"""Arrays by name: NumPy arrays, which are set in place, and others that the array API describes, such as JAX's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import ConfigError, TaskError
from gradwire.common.training.layout import FLOATS, Layout, LayoutArray, Role, constant_digest
from gradwire.worker.join.models.base import JoinedModel, exchanges

# Attributes of arrays of NumPy, torch and the array API.
_ARRAYS = ("__array_interface__", "new_tensor", "__array_namespace__")


class ArraysModel(JoinedModel):
    """A dictionary of arrays, which may hold dictionaries; a name is the path to an array, joined by dots.

    Floating arrays are trained, integers and booleans constant.
    """

    def __init__(self, arrays: MutableMapping[str, Any]) -> None:
        """Fix the layout.

        Raises:
            ConfigError: no array, a key that is no text, two arrays of one name, or a value that is no array.
            LayoutError: a dtype that cannot be laid out, or no floating array.
        """
        self._arrays = arrays
        read = {name: _as_numpy(name, holder[key]) for name, (holder, key) in _places(arrays).items()}
        rows = [_row(name, array) for name, array in read.items()]
        rows.sort(key=lambda row: (row.role is Role.CONSTANT, row.name))  # whatever the order of the keys
        self.layout = Layout(tuple(rows), schema=exchanges(gradients=False))
        self._constants = {row.name: read[row.name].copy() for row in rows if row.role is Role.CONSTANT}

    def constants(self) -> list[bytes]:
        return [_bytes(self._constants[array.name]) for array in self.layout.constants]

    def read(self, given: Any, out: NDArray[np.float32]) -> None:
        arrays = self._now(given)
        for row, place in self.layout.views(out):
            value = _as_numpy(row.name, arrays[row.name])
            if value.shape != row.shape:
                raise TaskError(
                    f"{row.name} has the shape {list(value.shape)}, the model joined with {list(row.shape)}: a model "
                    "keeps its arrays for the whole run"
                )
            _copy(value, place)

    def read_gradients(self, out: NDArray[np.float32]) -> None:
        raise NotImplementedError  # refused when it joins

    def load(self, vector: NDArray[np.float32], given: Any) -> Any:
        target = self._arrays if given is None else given
        places = _places(target)
        for row, values in self.layout.views(vector):
            holder, key = places[row.name]
            value = holder[key]
            if isinstance(value, np.ndarray) and value.flags.writeable:
                _copy(values, value)
            elif hasattr(value, "new_tensor"):
                value.detach().copy_(value.new_tensor(values))
            else:
                holder[key] = _like(value, values)
        return target

    def exported(self, vector: NDArray[np.float32]) -> dict[str, Any]:
        moving = {row.name: values.astype(row.dtype) for row, values in self.layout.views(vector)}
        return {**moving, **{name: array.copy() for name, array in self._constants.items()}}

    def _now(self, given: Any) -> dict[str, Any]:
        if given is not None and not isinstance(given, MutableMapping):
            raise TaskError(
                f"step was given a {type(given).__name__}, expected a dict of the arrays that joined, or nothing"
            )
        places = _places(self._arrays if given is None else given)
        arrays = {name: holder[key] for name, (holder, key) in places.items()}
        known = {row.name for row in self.layout.arrays}
        if arrays.keys() != known:
            name = sorted(arrays.keys() ^ known)[0]
            what = "new" if name in arrays else "missing"
            raise TaskError(f"the array {name} is {what}: a model keeps its arrays for the whole run")
        return arrays


def _places(arrays: Any) -> dict[str, tuple[Any, str]]:
    """By name, in the order of the dictionary: the dictionary that holds an array, and its key there.

    Raises:
        ConfigError: a key that is no text, or two arrays of one name.
    """
    places: dict[str, tuple[Any, str]] = {}
    for name, holder, key in _leaves(arrays, ""):
        if name in places:
            raise ConfigError(f"two arrays are called {name}: a name is the path to an array, joined by dots")
        places[name] = holder, key
    return places


def _leaves(arrays: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any, str]]:
    for key, value in arrays.items():
        if not isinstance(key, str) or not key:
            raise ConfigError(f"an array is called {key!r}, expected a text")
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, arrays, key


def _as_numpy(name: str, value: Any) -> NDArray[Any]:
    """An array as NumPy's; a tensor without its graph.

    Raises:
        ConfigError: it is none.
    """
    detached = value.detach().cpu() if hasattr(value, "detach") else value
    if np.isscalar(detached) or not any(hasattr(detached, known) for known in _ARRAYS):
        raise ConfigError(f"{name} is a {type(value).__name__}, expected an array")
    try:
        return np.asarray(detached)
    except TypeError as error:  # a tensor of a dtype that NumPy lacks
        raise ConfigError(f"{name} cannot be read as an array: {error}") from error


def _row(name: str, array: NDArray[Any]) -> LayoutArray:
    role = Role.TRAINED if array.dtype.name in FLOATS else Role.CONSTANT
    digest = constant_digest(_bytes(array)) if role is Role.CONSTANT else b""
    return LayoutArray(name, array.shape, array.dtype.name, role, digest)


def _bytes(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _copy(values: NDArray[Any], place: NDArray[Any]) -> None:
    """Write numbers as another dtype; those beyond it are infinite there, which the next exchange refuses."""
    with np.errstate(over="ignore"):
        np.copyto(place, values, casting="unsafe")


def _like(value: Any, values: NDArray[np.float32]) -> Any:
    """New values as an array of the same kind: NumPy's, or that of another namespace of the array API."""
    if isinstance(value, np.ndarray):
        new = np.empty_like(value)
        _copy(values, new)
        return new
    xp = value.__array_namespace__()
    return xp.asarray(values.copy(), dtype=value.dtype)
