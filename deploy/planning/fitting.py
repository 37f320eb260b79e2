"""The codecs of a family that use a budget of bits, and of epsilon, best: for planning and for comparisons.

A family is planned from templates: specs in which ``{n}`` stands for an integer from 1 on, ``{odd}`` for 2n + 1,
``{share}`` for n / dim, ``{epsilon}`` for the epsilon of a payload and ``{epsilon/4}`` for a part of it. A class lists
its own as ``plan_templates``; without them they follow from its parameters, so that a new codec needs no edit here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from gradwire.common.codecs import AnyCodec, Codec, parse
from gradwire.common.errors import GradwireError
from gradwire.common.lossless.codings.base import CODINGS
from gradwire.common.spec import parameter_fields

# Parameters that make payloads longer and errors smaller; the first that a family has is varied.
SIZE_PARAMETERS = ("repeats", "levels", "k", "blocks", "count")
MAX_SIZE = 1 << 24
# Repeats cost encoding time: at most so many per coordinate, or LEAST_MAX_REPEATS in all, are planned.
REPEATS_PER_COORDINATE = 32
LEAST_MAX_REPEATS = 1024
PLANNED_REPEATS = (2, 4, 8, 16, 64, 256)
EPSILON_SLACK = 1e-10  # of an epsilon that was asked for, for rounding in the one that a codec states
_EPSILON = re.compile(r"\{epsilon(?:/(\d+))?\}")
_REFUSALS = (GradwireError, NotImplementedError, OverflowError, MemoryError)


def templates(cls: type[Codec[Any]]) -> Iterator[str]:
    """A family's own templates; without any its bare name, and its size as ``{n}``, in each coding that it has."""
    own = cls.planned()
    if own is not None:
        yield from own
        return
    names = [f.name for f in parameter_fields(cls)]
    yield cls.name
    if "epsilon" in names:
        yield f"{cls.name}(epsilon={{epsilon}})"
        if "repeats" in names:
            yield from (f"{cls.name}(epsilon={{epsilon}}, repeats={k})" for k in PLANNED_REPEATS)
    size = next((name for name in SIZE_PARAMETERS if name in names), None)
    if size is not None:
        yield from _templates_of_size(cls.name, size, names)


def _templates_of_size(family: str, size: str, names: list[str]) -> Iterator[str]:
    yield f"{family}({size}={{n}})"
    if "gain" in names:
        # Point sets that are private by themselves are so only under a public bound.
        yield f"{family}({size}={{n}}, gain=bound(1.0))"
    if size == "levels":
        # An odd number has zero among the levels, which saves variance.
        yield f"{family}(levels={{odd}})"
    if "coding" in names:
        yield from (f"{family}({size}={{n}}, coding={coding})" for coding in CODINGS if coding != "tuple")


def codecs_within(
    cls: type[Codec[Any]], dim: int, bits: int, epsilon: float | None = None
) -> Iterator[AnyCodec]:
    """For each template of a family the codec with the longest payload within a budget.

    Args:
        cls: a registered codec class.
        dim: coordinates of a gradient.
        bits: largest payload in bits.
        epsilon: largest epsilon of a payload; None where it need not be private.
    """
    for template in templates(cls):
        if _EPSILON.search(template):
            if epsilon is None:
                continue
            template = _EPSILON.sub(partial(_part_of, epsilon), template)
        repeats = max(LEAST_MAX_REPEATS, REPEATS_PER_COORDINATE * dim)
        max_size = repeats if "repeats" in template else MAX_SIZE
        codec = largest_within(template, dim, bits, max_size=max_size, epsilon=epsilon)
        if codec is not None:
            yield codec


def largest_within(
    template: str, dim: int, bits: int, *, max_size: int = MAX_SIZE, epsilon: float | None = None
) -> AnyCodec | None:
    """The codec of a template with the largest n within a budget; None where none is.

    By bisection: payloads and epsilons grow with n. An n that the codec refuses counts as too large.

    Args:
        template: a spec with ``{n}``, ``{odd}`` or ``{share}``, or without.
        dim: coordinates of a gradient.
        bits: largest payload in bits.
        max_size: largest n.
        epsilon: largest epsilon of a payload; None for any.
    """

    def codec_at(n: int) -> AnyCodec | None:
        return _within(template.format(n=n, odd=2 * n + 1, share=n / dim), dim, bits, epsilon)

    if "{" not in template:
        return codec_at(1)
    low, high = 0, max_size
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if codec_at(middle) is not None else (low, middle - 1)
    # The least n may be refused: there is no quantizer with one level.
    return codec_at(low) if low else next(filter(None, map(codec_at, (3, 2))), None)


def _part_of(epsilon: float, placeholder: re.Match[str]) -> str:
    return repr(float(epsilon) / int(placeholder[1] or 1))


def _within(spec: str, dim: int, bits: int, epsilon: float | None) -> AnyCodec | None:
    try:
        codec = parse(spec, dim)
        fits = codec.nbits <= bits and (epsilon is None or codec.epsilon <= epsilon * (1 + EPSILON_SLACK))
    except _REFUSALS:
        return None
    return codec if fits else None
