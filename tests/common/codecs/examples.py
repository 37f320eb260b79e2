"""The codecs under test: every example of every registered family. A new family joins by being registered."""

from __future__ import annotations

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


def parameters(examples: list[Example]) -> list[Any]:
    return [pytest.param(build(e), id=f"{e.spec} d={e.dim}") for e in examples]


EXAMPLES = [example for _, example in named_examples()]
ENUMERABLE = [example for example in EXAMPLES if example.enumerable]
NOT_ENUMERABLE = [example for example in EXAMPLES if not example.enumerable]
LARGE = [e for e in (e._replace(dim=LARGE_DIM) for e in EXAMPLES if is_large(e)) if is_buildable(e)]

every_codec = pytest.mark.parametrize("codec", parameters(EXAMPLES))
every_codec_and_large = pytest.mark.parametrize("codec", parameters(EXAMPLES + LARGE))
every_enumerable_codec = pytest.mark.parametrize("codec", parameters(ENUMERABLE))
every_other_codec = pytest.mark.parametrize("codec", parameters(NOT_ENUMERABLE + LARGE))
