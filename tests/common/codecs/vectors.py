"""Gradients that have broken encoders before. All values are float32 values, so float32 and float64 inputs agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

F64 = NDArray[np.float64]
TINY = float(np.finfo(np.float32).smallest_subnormal)


def _single(values: Any) -> F64:
    return np.asarray(values, np.float32).astype(np.float64)


def ramp(dim: int) -> F64:
    """x_i = ((7919 i + 1009) mod 2003 - 1001) / 1024: both signs, no symmetry, no rounding anywhere."""
    i = np.arange(dim, dtype=np.int64)
    return ((7919 * i + 1009) % 2003 - 1001) / 1024


def flat(dim: int) -> F64:
    """0.3 is no float32, and neither is the norm: the l1 norm is as large as it gets."""
    return _single(np.full(dim, 0.3))


def alternating(dim: int) -> F64:
    return _single(np.where(np.arange(dim) % 2, -0.7, 0.7))


def one_hot(dim: int) -> F64:
    """The last coordinate: where an off-by-one shows."""
    out = np.zeros(dim)
    out[-1] = -0.75
    return out


def wide(dim: int) -> F64:
    """Magnitudes from 1 to 2^-100."""
    return np.ldexp(np.where(np.arange(dim) % 3, 1.0, -1.0), -(np.arange(dim) * 25 % 101))


def one_large(dim: int) -> F64:
    out = _single(np.full(dim, 1e-3))
    out[dim // 2] = 3.0
    return out


def heavy(dim: int) -> F64:
    """Magnitudes 1, 1/2, 1/3, …, scattered by a multiplicative shuffle."""
    rank = (np.arange(dim, dtype=np.int64) * 7919 + 13) % dim
    return _single(np.where(rank % 2, 1.0, -1.0) / (1 + rank))


SHAPES: dict[str, Callable[[int], F64]] = {
    f.__name__: f for f in (ramp, flat, alternating, one_hot, wide, one_large, heavy)
}
# Lengths inside, on and outside of every bound in the examples, and near the ends of float32.
SCALES = {"": 1.0, " long": 64.0, " short": 2.0**-10, " huge": 2.0**90, " tiny": 2.0**-90}


def laws_are_checked_at(dim: int) -> Iterator[tuple[str, F64]]:
    """The vectors at which exact laws are taken."""
    yield "zero", np.zeros(dim)
    yield "denormal", ramp(dim) * 2.0**-138
    for shape, f in SHAPES.items():
        for label, scale in SCALES.items():
            yield shape + label, _single(f(dim) * scale)


def of_norm(norm: float, dim: int) -> Iterator[F64]:
    """Vectors of one l2 norm, up to rounding: among them the worst ones of every family here."""
    for f in SHAPES.values():
        x = f(dim)
        yield x * (norm / np.linalg.norm(x))
    yield np.eye(dim)[0] * norm
    yield np.full(dim, norm / np.sqrt(dim))
    yield np.full(dim, -norm / np.sqrt(dim))


@st.composite
def gradients(draw: st.DrawFn, dim: int) -> NDArray[np.floating]:
    """Any finite gradient [dim] that float32 can hold, in either precision, contiguous or not."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    if dim <= 8 and draw(st.booleans()):
        value = st.floats(-(2.0**99), 2.0**99, width=32 if dtype is np.float32 else 64)
        x = np.array(draw(st.lists(value, min_size=dim, max_size=dim)), dtype)
    else:
        x = draw(st.sampled_from(sorted(SHAPES)).map(SHAPES.get))(dim)
        scale = draw(st.sampled_from([0.0, TINY, 1e-40, 1e-30, 1e-3, 1.0, 1e10, 1e30]))
        x = (x * scale).astype(dtype)
    layout = draw(st.sampled_from(["contiguous", "every other", "reversed", "big-endian"]))
    if layout == "every other":
        return np.repeat(x, 2)[::2]
    if layout == "reversed":
        return x[::-1]
    return x.astype(x.dtype.newbyteorder(">")) if layout == "big-endian" else x
