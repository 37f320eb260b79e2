"""Elias and Huffman codes plane by plane, and trits: the codewords of the textbooks, and nothing else is read."""

from __future__ import annotations

import heapq
from math import ceil, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.errors import PayloadError
from gradwire.common.lossless.elias import GAMMA, OMEGA, IntegerCode
from gradwire.common.lossless.huffman import HuffmanCode
from gradwire.common.lossless.trits import read_trits, trits_nbits, write_trits

CODES = {"gamma": GAMMA, "omega": OMEGA}
both = pytest.mark.parametrize("name", sorted(CODES))
integers = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 2**40)), max_size=60)


def codeword(name: str, n: int) -> str:
    """As Elias wrote them down: one codeword, its bits in order."""
    if name == "gamma":
        return "0" * (len(f"{n:b}") - 1) + f"{n:b}"
    word = "0"
    while n > 1:
        word = f"{n:b}" + word
        n = len(f"{n:b}") - 1
    return word


def stream(code: IntegerCode, values: object) -> bytes:
    out = BitWriter()
    code.write(values, out)
    return out.tobytes()


def ones(payload: bytes) -> int:
    return int.from_bytes(payload, "little").bit_count()


def test_codewords_are_those_of_the_tables() -> None:
    known = {1: "0", 2: "100", 4: "101000", 15: "1111110", 16: "10100100000", 100: "1011011001000"}
    assert {n: codeword("omega", n) for n in known} == known
    assert [codeword("gamma", n) for n in (1, 2, 5)] == ["1", "010", "00101"]


@both
@settings(max_examples=80)
@given(values=integers)
def test_same_bits_in_another_order(name: str, values: list[int]) -> None:
    """As many bits and, for omega, as many ones as the codewords have; gamma's unary part is written with ones."""
    code, words = CODES[name], [codeword(name, n) for n in values]
    array, out = np.array(values, np.int64), BitWriter()
    code.write(array, out)
    assert out.nbits == sum(map(len, words)) == sum(map(code.length, values))
    if name == "omega":
        assert ones(out.tobytes()) == sum(word.count("1") for word in words)
    out.write_int(5, 3)
    bits = BitReader(out.tobytes())
    assert code.read(bits, len(values), max(values, default=1)).tolist() == values
    assert bits.read_int(3) == 5


@both
def test_elias_in_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    for dtype in (np.int32, np.int64):
        values = np.random.default_rng(1).geometric(0.2, 500).astype(dtype)
        assert stream(CODES[name], values) == stream(CODES[name], torch.from_numpy(values))


@both
def test_large_integers_are_refused(name: str) -> None:
    for largest in (1, 2, 3, 7, 8, 1000, 2**40):
        beyond = 1 << largest.bit_length()
        for values in ([1, beyond], [beyond, 1, 1], [2**62]):
            payload = stream(CODES[name], np.array(values))
            with pytest.raises(PayloadError, match=f"beyond {largest}: the payload is corrupt"):
                CODES[name].read(BitReader(payload), len(values), largest)


@both
def test_streams_that_end_early_are_refused(name: str) -> None:
    values = np.array([3, 1, 70_000, 12])
    payload = stream(CODES[name], values)
    for length in range(len(payload) - 1):
        with pytest.raises(PayloadError, match="the payload ends at bit"):
            CODES[name].read(BitReader(payload[:length]), 4, 70_000)


@both
@settings(max_examples=100)
@given(payload=st.binary(max_size=60), count=st.integers(0, 40))
def test_bytes_are_canonical_or_refused(name: str, payload: bytes, count: int) -> None:
    """What is read, written again, gives the bits that were read: no list has two streams."""
    bits = BitReader(payload)
    try:
        values = CODES[name].read(bits, count, 2**20)
    except PayloadError:
        return
    again = int.from_bytes(stream(CODES[name], values), "little")
    assert again == int.from_bytes(payload, "little") & ((1 << bits.position) - 1)


# ---- Huffman -----------------------------------------------------------------------------------------------


def shortest(counts: list[int]) -> int:
    """The least total of any prefix code: the sum of the weights that Huffman's algorithm joins."""
    heap, total = [c for c in counts if c], 0
    heapq.heapify(heap)
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total


@settings(max_examples=80)
@given(symbols=st.lists(st.integers(0, 30), min_size=1, max_size=200), spare=st.integers(0, 3))
def test_huffman(symbols: list[int], spare: int) -> None:
    counts = np.bincount(symbols, minlength=max(symbols) + 1 + spare)
    code, out = HuffmanCode.of(counts), BitWriter()
    assert (
        code.nbits == shortest(counts.tolist()) <= len(symbols) * ceil(log2(counts.size))
        if counts.size > 1
        else True
    )
    assert code.lengths.any() == (np.count_nonzero(counts) > 1)
    code.write(np.array(symbols, np.int32), out)
    assert out.nbits == code.nbits
    out.write_int(5, 3)
    bits = BitReader(out.tobytes())
    assert code.read(bits).tolist() == symbols and bits.read_int(3) == 5


def test_huffman_of_skewed_counts() -> None:
    """Fibonacci counts make the longest codewords there are."""
    counts = [1, 1]
    while len(counts) < 20:
        counts.append(counts[-1] + counts[-2])
    symbols = np.random.default_rng(0).permutation(np.repeat(np.arange(20), counts))
    code, out = HuffmanCode.of(np.array(counts)), BitWriter()
    code.write(symbols, out)
    assert code.lengths.max() == 19 and (code.read(BitReader(out.tobytes())) == symbols).all()


def test_huffman_in_torch() -> None:
    torch = pytest.importorskip("torch")
    symbols = np.minimum(np.random.default_rng(1).geometric(0.2, 500), 31).astype(np.int32)
    streams = []
    for values in (symbols, torch.from_numpy(symbols)):
        out = BitWriter()
        HuffmanCode.of(np.bincount(symbols)).write(values, out)
        streams.append(out.tobytes())
    assert streams[0] == streams[1]


def test_levels_that_contradict_the_histogram_are_refused() -> None:
    out = BitWriter()
    HuffmanCode.of(np.array([2, 1, 1])).write(np.array([0, 1, 0, 2]), out)
    payload = bytearray(out.tobytes())
    payload[0] ^= 1 << 0  # another first symbol
    with pytest.raises(PayloadError, match="the histogram of the levels"):
        HuffmanCode.of(np.array([2, 1, 1])).read(BitReader(bytes(payload) + b"\0"))
    with pytest.raises(PayloadError, match="the payload ends"):
        HuffmanCode.of(np.array([20, 10, 10])).read(BitReader(bytes(payload)))


# ---- trits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 24))
def test_trits(count: int) -> None:
    trits, out = np.random.default_rng(count).integers(0, 3, count), BitWriter()
    write_trits(trits, out)
    assert out.nbits == trits_nbits(count) == 8 * (count // 5) + ceil(log2(3 ** (count % 5)))
    out.write_int(5, 3)
    bits = BitReader(out.tobytes())
    assert read_trits(bits, count).tolist() == trits.tolist() and bits.read_int(3) == 5
    first = sum(3**i * int(t) for i, t in enumerate(trits[:5]))
    assert (
        int.from_bytes(out.tobytes()[:1], "little") & 0xFF >> max(0, 8 - trits_nbits(min(count, 5))) == first
    )


def test_bad_trit_bytes_are_refused() -> None:
    for byte in range(243, 256):
        with pytest.raises(PayloadError, match="expected at most 242"):
            read_trits(BitReader(bytes([0, byte])), 10)
    for tail, count in ((3, 1), (9, 2), (27, 3), (81, 4)):
        with pytest.raises(PayloadError, match=f"beyond {count} trits"):
            read_trits(BitReader(bytes([242, tail])), 5 + count)
