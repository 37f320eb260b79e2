"""The shortest spelling of a codec's spec."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import GradwireError
from gradwire.common.spec import Spec, parse_spec


def shortest_spec(codec: AnyCodec) -> str:
    """A codec's spec without the arguments that are defaults, at any depth; it parses to an equal codec.

    >>> shortest_spec(parse("rotated(rounds=3, inner=cross_polytope(repeats=100, coding=tuple))", 1000))
    'rotated(rounds=3, inner=cross_polytope(repeats=100))'
    """

    def is_equal(spec: Spec) -> bool:
        try:
            return parse(spec, codec.dim) == codec
        except GradwireError:
            return False

    return str(_shortened(parse_spec(codec.spec), is_equal))


def _shortened(spec: Spec, is_equal: Callable[[Spec], bool]) -> Spec:
    """Drop one argument after the other; shorten those that have to stay and are specs themselves."""
    kept = dict(spec.kwargs)
    for name, value in spec.kwargs:
        without = {key: item for key, item in kept.items() if key != name}
        if is_equal(_with_arguments(spec, without)):
            kept = without
        elif isinstance(value, Spec):
            kept[name] = _shortened(value, partial(_is_equal_with, is_equal, spec, kept, name))
    return _with_arguments(spec, kept)


def _is_equal_with(
    is_equal: Callable[[Spec], bool], outer: Spec, kept: dict[str, Any], name: str, inner: Spec
) -> bool:
    """Whether the outer spec is still equal with ``inner`` as its argument ``name``."""
    return is_equal(_with_arguments(outer, {**kept, name: inner}))


def _with_arguments(spec: Spec, arguments: dict[str, Any]) -> Spec:
    return Spec(spec.name, spec.args, tuple(arguments.items()))
