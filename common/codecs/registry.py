"""Codecs by name. A module in this folder registers its codecs when it is imported, and all of them are."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from gradwire.common.codecs.base import Codec
from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec, bind_arguments, did_you_mean, parse_spec

C = TypeVar("C", bound=type[Codec[Any]])

_REGISTRY: dict[str, type[Codec[Any]]] = {}


def register(cls: C) -> C:
    """Class decorator: make a codec known under its ``name``.

    Raises:
        SpecError: the name is taken; nothing is ever overwritten.
    """
    if cls.name in _REGISTRY:
        raise SpecError(
            f"two codecs are called {cls.name!r}: {_REGISTRY[cls.name].__qualname__} and {cls.__qualname__}"
        )
    _REGISTRY[cls.name] = cls
    return cls


def codecs() -> Mapping[str, type[Codec[Any]]]:
    """Every registered codec class by name."""
    return MappingProxyType(_REGISTRY)


def parse(text: str | Spec, dim: int) -> Codec[Any]:
    """A codec from its spec, for gradients of ``dim`` coordinates.

    Raises:
        SpecError: not a spec, an unknown codec or argument, or a value outside its range.

    >>> parse("cross_polytope(repeats=100)", dim=795_010).nbytes
    267
    """
    spec = parse_spec(text) if isinstance(text, str) else text
    if spec.name not in _REGISTRY:
        raise SpecError(f"unknown codec {spec.name!r}{did_you_mean(spec.name, _REGISTRY)}")
    cls = _REGISTRY[spec.name]
    return cls(dim=dim, **bind_arguments(spec, cls))


def import_family_modules(package: str, path: list[str]) -> None:
    """Import every module of this package's own folder, so that adding a codec is adding a file."""
    for module in sorted(m.name for m in pkgutil.iter_modules(path)):
        importlib.import_module(f"{package}.{module}")
