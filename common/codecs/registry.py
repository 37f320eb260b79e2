"""Codecs by name. A module in this folder registers its codecs when it is imported, and all of them are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gradwire.common.codecs.base import Codec
from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, parse_spec

_REGISTRY: Registry[Codec[Any]] = Registry("codec")
register = _REGISTRY.register


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
    return _REGISTRY.build(spec, dim=dim)
