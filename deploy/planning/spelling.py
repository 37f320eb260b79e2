"""Specs in their shortest form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import GradwireError
from gradwire.common.spec import Spec, parse_spec


def shortest_spec(codec: AnyCodec) -> str:
    """A codec's spec without the arguments that change nothing, at any depth.

    >>> shortest_spec(parse("rotated(rounds=3, inner=cross_polytope(repeats=100, coding=tuple))", 1000))
    'rotated(rounds=3, inner=cross_polytope(repeats=100))'
    """

    def same(spec: Spec) -> bool:
        try:
            return parse(spec, codec.dim) == codec
        except GradwireError:
            return False

    spec = parse_spec(codec.spec)
    return str(_shortened(spec, same))


def _shortened(spec: Spec, same: Callable[[Spec], bool]) -> Spec:
    """Drop one argument after the other, those inside an argument that has to stay included."""
    kept = dict(spec.kwargs)
    for name, value in spec.kwargs:
        without = {key: item for key, item in kept.items() if key != name}
        if same(Spec(spec.name, spec.args, tuple(without.items()))):
            kept = without
        elif isinstance(value, Spec):
            kept[name] = _shortened(value, partial(_same_with, same, spec, kept, name))
    return Spec(spec.name, spec.args, tuple(kept.items()))


def _same_with(
    same: Callable[[Spec], bool], spec: Spec, kept: dict[str, Any], name: str, inner: Spec
) -> bool:
    return same(Spec(spec.name, spec.args, tuple({**kept, name: inner}.items())))
