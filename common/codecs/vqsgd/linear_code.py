"""Point sets of [V] from a binary linear code: its words as ±1, and their complements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import I64
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.vqsgd.reed_muller import HadamardRowsCodec
from gradwire.common.errors import SpecError
from gradwire.common.spec import did_you_mean

Bits = NDArray[np.bool_]  # [words, dim]

MAX_RANK = 20  # rows of a reduced generator; the transform then has 2**20 values, 8 MiB


@register
@dataclass(frozen=True, kw_only=True)
class LinearCode(HadamardRowsCodec):
    """The words of a binary linear code as ±1, and their complements ([V] Remark 4).

    [V] admits any code; where two columns of the generator are equal, all points lie on a hyperplane (erratum V15).
    Where all are different they are columns p_j of a Hadamard matrix, because every word with its complement is
    s (-1)^(u·p_j), u in F_2^m, s = ±1: then the hull holds the unit ball, and the weights are those of ``reed_muller``
    in size n = 2^m. Vertex u is that word with s = 1, vertex n + u its complement; p_j is column j of the reduced row
    echelon form of the rows, complemented where they begin with 1, so it depends on the code alone.

    Payload: gain, then ``repeats`` indices of m + 1 bits.
    Unbiased; variance (gain^2 d - |x|^2) / repeats for every x and every code: larger codes cost bits and gain nothing,
    as Remark 4 says. Encoding and decoding cost a transform of 2^m values.

    Args:
        generator: a code by name (``reed_muller_1`` of any length, ``hamming`` of length 7 or 15, ``golay`` of length
            23 or 24), or rows that generate one: hexadecimal numbers with a slash between them, of ceil(d / 4) digits
            each, coordinate 0 in the leading bit, padding zero (``"5500/3300"`` has d = 13 to 16).

    Raises:
        SpecError: no code of that name or length, rows that are not of that form, equal columns, or 2^m above 2**20.

    >>> from gradwire.common.codecs import parse
    >>> parse("linear_code(golay)", dim=24).nbits
    44
    """

    generator: str = field(default="reed_muller_1", metadata={"first": True})

    name = "linear_code"
    source = "[V] 5.2, Remark 4 (V15)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._rows.shape[0] > MAX_RANK:
            raise SpecError(
                f"linear_code: {self.generator} has 2**{self._rows.shape[0] + 1} words at dim {self.dim}, "
                f"at most 2**{MAX_RANK + 1} are transformed: reed_muller has the same variance for fewer bits"
            )
        first, column = np.unique(self.columns, return_index=True)
        if first.size < self.dim:
            twin = int(np.setdiff1d(np.arange(self.dim), column)[0])
            near = int(np.flatnonzero(self.columns == self.columns[twin])[0])
            raise SpecError(
                f"linear_code: columns {near} and {twin} of {self.generator} are equal at dim {self.dim}, so the hull "
                f"of its words is flat: choose a code whose {self.dim} columns are all different"
            )

    @property
    def axes(self) -> int:
        return 1 << len(self._rows)

    @cached_property
    def columns(self) -> I64:
        places = 1 << np.arange(self._rows.shape[0], dtype=np.int64)
        columns: I64 = places @ self._rows if places.size else np.zeros(self.dim, np.int64)
        return columns

    @cached_property
    def _rows(self) -> Bits:
        """Independent rows [m, dim] that, with the all-ones word, span the code and its complements."""
        rows = _generate(self.generator, self.dim)
        return _reduced(rows ^ rows[:, :1])

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("linear_code", 3, enumerable=True),
            Example("linear_code(hamming)", 7, enumerable=True),
            Example('linear_code("5/3/1", repeats=2)', 4, enumerable=True),
            Example('linear_code("a8/64/1c", gain=bound(2.0))', 6, enumerable=True),
            Example("linear_code(golay, repeats=20)", 24),
            Example("linear_code(reed_muller_1, repeats=100)", 1000),
        )


# ---- generators --------------------------------------------------------------------------------------------


def _reed_muller_1(dim: int) -> Bits:
    """RM(1, p), cut off after ``dim`` coordinates: row k holds bit k of the coordinate."""
    p = (dim - 1).bit_length()
    if p > MAX_RANK:
        raise SpecError(
            f"linear_code: dim is {dim}, expected at most 2**{MAX_RANK}: use reed_muller for more"
        )
    return (np.arange(dim) >> np.arange(p)[:, None] & 1).astype(bool)


def _hamming(dim: int) -> Bits:
    """The words whose set positions, counted from 1, have exclusive or 0."""
    r = dim.bit_length()
    if dim != (1 << r) - 1 or not 3 <= r <= 4:
        raise SpecError(
            f"linear_code: dim is {dim}, expected 7 or 15, the lengths of hamming codes that are supported"
        )
    free = [j for j in range(1, dim + 1) if j & (j - 1)]
    rows = np.zeros((len(free), dim), bool)
    for row, j in zip(rows, free, strict=True):
        row[j - 1] = True
        row[[(1 << k) - 1 for k in range(r) if j >> k & 1]] = True
    return rows


def _golay(dim: int) -> Bits:
    """The cyclic code of x^11 + x^10 + x^6 + x^5 + x^4 + x^2 + 1; at length 24 with a parity bit."""
    if dim not in (23, 24):
        raise SpecError(f"linear_code: dim is {dim}, expected 23 or 24, the lengths of the golay codes")
    word = np.zeros(23, bool)
    word[[0, 2, 4, 5, 6, 10, 11]] = True
    rows = np.array([np.roll(word, k) for k in range(12)])
    return np.column_stack([rows, rows.sum(axis=1) % 2 == 1])[:, :dim]


GENERATORS: dict[str, Callable[[int], Bits]] = {
    "reed_muller_1": _reed_muller_1,
    "hamming": _hamming,
    "golay": _golay,
}


def _generate(text: str, dim: int) -> Bits:
    if text in GENERATORS:
        return GENERATORS[text](dim)
    rows = text.split("/")
    digits = -(-dim // 4)
    if not all(set(row) <= set("0123456789abcdef") for row in rows):
        raise SpecError(
            f"linear_code: {text!r} is no code{did_you_mean(text, GENERATORS)}; or write rows in lower-case hexadecimal"
        )
    if {len(row) for row in rows} != {digits}:
        raise SpecError(
            f"linear_code: a row of {text!r} does not have {digits} hexadecimal digits, as dim {dim} needs"
        )
    packed = np.array([list(bytes.fromhex(row.ljust(digits + digits % 2, "0"))) for row in rows], np.uint8)
    bits = np.unpackbits(packed, axis=1).astype(bool)
    if bits[:, dim:].any():
        raise SpecError(
            f"linear_code: a row of {text!r} has bits beyond coordinate {dim - 1}, expected zero padding"
        )
    return bits[:, :dim]


def _reduced(rows: Bits) -> Bits:
    """The reduced row echelon form over F_2, without zero rows."""
    rows = rows.copy()
    rank = 0
    while rank < rows.shape[0] and rows[rank:].any():
        column = int(rows[rank:].any(axis=0).argmax())
        pivot = rank + int(rows[rank:, column].argmax())
        rows[[rank, pivot]] = rows[[pivot, rank]]
        others = rows[:, column].copy()
        others[rank] = False
        rows[others] ^= rows[rank]
        rank += 1
    return rows[:rank]
