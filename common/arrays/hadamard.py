"""The Walsh-Hadamard transform by additions and subtractions only: the same bits on every backend.

A matrix product with a small Hadamard matrix would be as fast, but a BLAS adds up in an order of its own, and
replicas on different machines must agree to the last bit. So every level is an element-wise butterfly, in one fixed
order of levels, and speed comes from three things: slabs that stay in the cache while all their levels are done;
Pease's constant geometry, whose outputs are always two contiguous halves; and adding pairs of reals as one complex
number, which twice as wide strides allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array, is_tensor

SLAB = 1 << 16  # values whose levels are done together: with two buffers, 768 KiB of float32
_COMPLEX = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}


def next_power_of_two(n: int) -> int:
    """The least power of two that is not below ``n``."""
    return 1 << (n - 1).bit_length()


def hadamard_transform(x: Array, *, in_place: bool = False) -> Array:
    """H x for the Sylvester-Hadamard matrix H (entries ±1, unnormalised) and a vector [n], n a power of two.

    H is symmetric and H H = n I, so the inverse is ``hadamard_transform(y) / n``.

    Args:
        x: float32 or float64 array, NumPy or torch.
        in_place: overwrite a contiguous NumPy array, which saves its copy.

    Returns:
        An array [n] of the same dtype, backend and device.

    >>> hadamard_transform(np.array([1.0, 2.0, 3.0, 4.0]))
    array([10., -2., -4.,  0.])
    """
    n = x.shape[0]
    if n < 1 or n & (n - 1):
        raise ValueError(f"the transform takes a power of two, got {n} values: pad with zeros")
    if is_tensor(x):
        return _transform_tensor(x)
    x = np.ascontiguousarray(x)
    out: NDArray[Any] = x if in_place else np.empty_like(x)
    with _short_buffers():
        _transform_numpy(x, out)
    return out


def _strides(n: int) -> Iterator[int]:
    """The order of levels: within slabs all but the last bit of the index, that bit, then across slabs."""
    low = min(n, SLAB)
    yield from (1 << k for k in range(1, low.bit_length() - 1))
    if n > 1:
        yield 1
    yield from (low << k for k in range((n // low).bit_length() - 1))


def _transform_numpy(x: NDArray[Any], out: NDArray[Any]) -> None:
    """Transform x [n] into out [n], which may be x itself."""
    low = min(x.size, SLAB)
    buffers = np.empty((2, low), x.dtype)
    slabs, done = x.reshape(-1, low), out.reshape(-1, low)
    for slab, target in zip(slabs, done, strict=True):
        _within(slab, target, buffers)
    rows = slabs.shape[0]
    width = max(1, SLAB // rows)
    if rows > 1:
        for start in range(0, low, width):
            _across(done[:, start : start + width], buffers)


def _within(slab: NDArray[Any], out: NDArray[Any], buffers: NDArray[Any]) -> None:
    """All levels of one slab.

    A step of constant geometry transforms the lowest index bit and makes it the highest, so after as many steps as
    there are bits everything is back in place.
    """
    if slab.size == 1:
        out[:] = slab
        return
    kind, half = _COMPLEX[slab.dtype], slab.size // 4
    old: NDArray[Any] = slab.view(kind)
    for step in range(slab.size.bit_length() - 2):
        new = buffers[step % 2].view(kind)
        np.add(old[0::2], old[1::2], out=new[:half])
        np.subtract(old[0::2], old[1::2], out=new[half:])
        old = new
    # (a - ib) (1 + i) = (a + b) + i (a - b): products by 1 are exact, so these are the bits of a sum and a difference.
    pairs: NDArray[Any] = out.view(kind)
    np.conjugate(old, out=pairs)
    np.multiply(pairs, kind(1 + 1j), out=pairs)


def _across(columns: NDArray[Any], buffers: NDArray[Any]) -> None:
    """The levels across the rows of a block of columns, in place."""
    rows, width = columns.shape
    levels = rows.bit_length() - 1
    old = columns
    for level in range(levels):
        inside = buffers[level % 2, : rows * width].reshape(rows, width)
        new = inside if level < levels - 1 else columns
        if new is old:  # one level alone
            new = inside
        pairs, out = (a.reshape(rows >> (level + 1), 2, 1 << level, width) for a in (old, new))
        np.add(pairs[:, 0], pairs[:, 1], out=out[:, 0])
        np.subtract(pairs[:, 0], pairs[:, 1], out=out[:, 1])
        old = new
    if old is not columns:
        np.copyto(columns, old)


@contextmanager
def _short_buffers() -> Iterator[None]:
    """NumPy copies operands into its ufunc buffer where inner runs are shorter than that: make it short."""
    before = np.setbufsize(64)
    try:
        yield
    finally:
        np.setbufsize(before)


def _transform_tensor(x: Array) -> Array:
    """A new tensor on x's device."""
    import torch

    if x.device.type == "cpu":  # its memory is NumPy's as well
        return torch.from_numpy(hadamard_transform(x.detach().numpy()))
    return _level_by_level(x)


def _level_by_level(x: Array) -> Array:
    """The same levels in the same order, each over the whole vector on its device."""
    import torch

    a, b = x.detach().clone(), torch.empty_like(x)
    for stride in _strides(x.shape[0]):
        old, new = a.view(-1, 2, stride), b.view(-1, 2, stride)
        torch.add(old[:, 0], old[:, 1], out=new[:, 0])
        torch.sub(old[:, 0], old[:, 1], out=new[:, 1])
        a, b = b, a
    return a
