"""The codecs under test: every example of every registered family. A new family joins by being registered.

Two examples of each family are in the quick suite: the first that is enumerable, whose whole law is checked, and the
first of the largest dimension, or the same at LARGE_DIM. All others are marked slow, so a family lists the most telling
of its examples first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from gradwire.common.arrays.blocks import CHUNK
from gradwire.common.codecs import AnyCodec, Example, codecs, parse
from gradwire.common.errors import SpecError

# Three chunks and a tail: sums in float32, blocks of several coordinates, drawn blocks far apart.
LARGE_DIM = 3 * CHUNK + 4097
# At fixed public seeds; a codec without shared randomness has one law.
SHARED = (0, 1, 0xFEDCBA9876543210_0123456789ABCDEF)


def named_examples() -> list[tuple[str, Example]]:
    return [(name, example) for name, cls in sorted(codecs().items()) for example in cls.examples()]


@cache
def build(example: Example) -> AnyCodec:
    return parse(example.spec, example.dim)


def shared_seeds(codec: AnyCodec) -> tuple[int | None, ...]:
    return SHARED if codec.shared_randomness else (None,)


def is_large(example: Example) -> bool:
    """Whether the example stands for real gradients: it is then also run at LARGE_DIM."""
    return example.dim > 1000


def is_buildable(example: Example) -> bool:
    """Some families exist for some dimensions only."""
    try:
        build(example)
    except SpecError:
        return False
    return True


def parameters(examples: list[Example], *, quick: Callable[[Example], bool] | None = None) -> list[Any]:
    """Codecs for ``parametrize``; those that are not ``quick``, which ``is_quick`` decides, are marked slow."""
    quick = quick or is_quick
    return [
        pytest.param(build(e), id=f"{e.spec} d={e.dim}", marks=() if quick(e) else pytest.mark.slow)
        for e in examples
    ]


def is_quick(example: Example) -> bool:
    """Whether it is its family's small example, or its large one at that or a larger dimension."""
    return example in QUICK_SMALL or example.dim >= QUICK_LARGE.get(example.spec, math.inf)


def is_quick_once(example: Example) -> bool:
    """As ``is_quick``, where the large example comes at two dimensions: of them the larger one."""
    return is_quick(example) and (
        example in QUICK_SMALL or example in LARGE or example._replace(dim=LARGE_DIM) not in LARGE
    )


_FAMILIES = [list(cls.examples()) for cls in codecs().values()]
QUICK_SMALL = {next(e for e in examples if e.enumerable) for examples in _FAMILIES}
QUICK_LARGE = {e.spec: e.dim for e in (max(examples, key=lambda e: e.dim) for examples in _FAMILIES)}
EXAMPLES = [example for _, example in named_examples()]
ENUMERABLE = [example for example in EXAMPLES if example.enumerable]
NOT_ENUMERABLE = [example for example in EXAMPLES if not example.enumerable]
LARGE = [e for e in (e._replace(dim=LARGE_DIM) for e in EXAMPLES if is_large(e)) if is_buildable(e)]

every_codec = pytest.mark.parametrize("codec", parameters(EXAMPLES))
every_codec_and_large = pytest.mark.parametrize("codec", parameters(EXAMPLES + LARGE, quick=is_quick_once))
every_enumerable_codec = pytest.mark.parametrize("codec", parameters(ENUMERABLE))
every_other_codec = pytest.mark.parametrize(
    "codec", parameters(NOT_ENUMERABLE + LARGE, quick=lambda e: is_quick(e) and e not in LARGE)
)
