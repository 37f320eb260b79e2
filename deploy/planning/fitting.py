"""The largest codecs of a family within a budget of bits, and of epsilon.

A family is planned from templates: specs in which ``{n}`` stands for a whole number from 1, ``{odd}`` for 2n + 1,
``{share}`` for n / dim, ``{epsilon}`` for what a payload may spend and ``{epsilon/4}`` for a part of it. A class names
its own as ``plan_templates``; else they follow from its parameters, so that a new codec joins without another edit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from gradwire.common.codecs import AnyCodec, Codec
from gradwire.common.codecs.registry import parse
from gradwire.common.errors import GradwireError
from gradwire.common.lossless.codings.base import CODINGS
from gradwire.common.spec import parameter_fields

# Parameters that make payloads longer and errors smaller.
SIZES = ("repeats", "levels", "k", "blocks", "count")
MOST = 1 << 24
# Repeats planned with at most, per coordinate, or 1024 in all: encoding takes time in proportion to them.
DRAWS = 32
_EPSILON = re.compile(r"\{epsilon(?:/(\d+))?\}")
_ROUNDING = 1e-10  # of an epsilon that was asked for, in the one that a codec states
_CANNOT = (GradwireError, NotImplementedError, OverflowError, MemoryError)


def templates(cls: type[Codec[Any]]) -> Iterator[str]:
    """A family's own templates; else its bare name, and that with its size to choose, in each coding it may take."""
    own: tuple[str, ...] = vars(cls).get("plan_templates", ())  # a subclass is another family
    if own:
        yield from own
        return
    names = [f.name for f in parameter_fields(cls)]
    yield cls.name
    if "epsilon" in names:
        yield f"{cls.name}(epsilon={{epsilon}})"
        if "repeats" in names:
            yield from (f"{cls.name}(epsilon={{epsilon}}, repeats={k})" for k in (2, 4, 8, 16, 64, 256))
    size = next((name for name in SIZES if name in names), None)
    if size is not None:
        yield f"{cls.name}({size}={{n}})"
        if "gain" in names:
            yield f"{cls.name}({size}={{n}}, gain=bound(1.0))"  # private with it are those that are by themselves
        if size == "levels":
            yield f"{cls.name}(levels={{odd}})"  # zero is a level: it costs no variance
        if "coding" in names:
            yield from (
                f"{cls.name}({size}={{n}}, coding={coding})" for coding in CODINGS if coding != "tuple"
            )


def _part(epsilon: float, asked: re.Match[str]) -> str:
    return repr(float(epsilon) / int(asked[1] or 1))


def fitted(cls: type[Codec[Any]], dim: int, bits: int, epsilon: float | None = None) -> Iterator[AnyCodec]:
    """The codecs of a family for a budget: of each template the one with the longest payload that fits.

    Args:
        dim: coordinates.
        bits: of a payload at most.
        epsilon: what a payload may spend at most; None where it need not be private.
    """
    for template in templates(cls):
        if _EPSILON.search(template):
            if epsilon is None:
                continue
            template = _EPSILON.sub(partial(_part, epsilon), template)
        most = max(1024, DRAWS * dim) if "repeats" in template else MOST
        codec = largest(template, dim, bits, most=most, epsilon=epsilon)
        if codec is not None:
            yield codec


def largest(
    template: str, dim: int, bits: int, *, most: int = MOST, epsilon: float | None = None
) -> AnyCodec | None:
    """The codec of a template with the largest n that fits; None where none does.

    Payloads grow with n, and so do epsilons; an n that the codec refuses counts as too large.

    Args:
        template: a spec with places for n.
        dim: coordinates.
        bits: of a payload at most.
        most: the largest n that is tried.
        epsilon: of a payload at most; None where it need not be private.
    """

    def codec_at(n: int) -> AnyCodec | None:
        return _fitting(template.format(n=n, odd=2 * n + 1, share=n / dim), dim, bits, epsilon)

    if "{" not in template:
        return codec_at(1)
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if codec_at(middle) is not None else (low, middle - 1)
    # The least sizes may be refused: one level is none.
    return codec_at(low) if low else next(filter(None, map(codec_at, (3, 2))), None)


def _fitting(spec: str, dim: int, bits: int, epsilon: float | None) -> AnyCodec | None:
    try:
        codec = parse(spec, dim)
        fits = codec.nbits <= bits and (epsilon is None or codec.epsilon <= epsilon * (1 + _ROUNDING))
    except _CANNOT:
        return None
    return codec if fits else None
