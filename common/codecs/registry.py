"""Codecs by name: ``register`` is the one way in, ``parse`` the one way out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from gradwire.common.codecs.codec import AnyCodec, Codec
from gradwire.common.codecs.hooks import check_family
from gradwire.common.registry import Registry, is_external
from gradwire.common.spec import Spec, parse_spec

C = TypeVar("C", bound=type[Any])


class CodecRegistry(Registry[AnyCodec]):
    """The codec families by name; whichever way one comes in, it is checked against the contract."""

    def register(self, cls: C) -> C:
        """Class decorator: make a family known to ``parse`` under its ``name``.

        Raises:
            SpecError: the class does not implement the contract (see ``hooks.check_family``), or its name is taken.
        """
        check_family(cls)
        registered = super().register(cls)
        registered.external = is_external(cls)
        return registered


_REGISTRY = CodecRegistry("codec", Codec, "gradwire.codecs", "--allow-codec")
register = _REGISTRY.register
allow_codecs = _REGISTRY.allow
find_codec = _REGISTRY.find


def codecs() -> Mapping[str, type[AnyCodec]]:
    """Every registered codec class by name."""
    return MappingProxyType(_REGISTRY)


def parse(text: str | Spec, dim: int, *, averaged: int = 0) -> AnyCodec:
    """A codec from its spec, for gradients of ``dim`` coordinates.

    Args:
        text: the spec.
        dim: coordinates of a gradient.
        averaged: how many of them, at the end, are running statistics: those travel as float32 (``float32_tail``).

    Raises:
        SpecError: not a spec, an unknown codec or argument, or a value outside its range.

    >>> parse("cross_polytope(repeats=100)", dim=795_010).nbytes
    267
    """
    spec = parse_spec(text) if isinstance(text, str) else text
    if averaged:
        spec = Spec("float32_tail", (spec,), (("size", averaged),))
    return _REGISTRY.build(spec, dim=dim)
