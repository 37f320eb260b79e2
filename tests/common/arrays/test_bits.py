"""Bit streams against integers of any size: slow, and plainly right."""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradwire.common.arrays import bits as bits_kernel
from gradwire.common.arrays.bits import MAX_WIDTH, BitReader, BitWriter, pack, unpack
from gradwire.common.errors import PayloadError
from tests.grids import looped

WIDTHS = range(MAX_WIDTH + 1)
COUNTS = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 100]


def slow_pack(values: list[int], width: int) -> bytes:
    whole = sum(value << i * width for i, value in enumerate(values))
    return whole.to_bytes((len(values) * width + 7) // 8, "little")


def some_values(count: int, width: int) -> list[int]:
    """All ones, zero, the top bit alone, and words without a pattern."""
    top = (1 << width) - 1
    fixed = [top, 0, 1 << max(width - 1, 0) & top, top]
    rng = np.random.default_rng(1000 * width + count)
    return (fixed + [int.from_bytes(rng.bytes(8), "little") & top for _ in range(count)])[:count]


def tensors(values: np.ndarray) -> object:
    torch = pytest.importorskip("torch")
    return torch.from_numpy(values)


@pytest.fixture(params=[bits_kernel.FEW, 0], ids=["few", "many"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays go two ways, by their length: tests that ask for this send theirs both ways."""
    monkeypatch.setattr(bits_kernel, "FEW", request.param)


@pytest.mark.usefixtures("_both_ways")
@looped("width", WIDTHS)
def test_pack_and_unpack(width: int) -> None:
    for count in COUNTS:
        values = some_values(count, width)
        packed = pack(np.array(values, np.int64), width)
        assert packed.dtype == np.uint8 and packed.tobytes() == slow_pack(values, width)
        back = unpack(packed, count, width)
        assert back.dtype == np.int64 and back.tolist() == values


@looped("width", WIDTHS)
def test_pack_and_unpack_tensors(width: int) -> None:
    for count in COUNTS:
        values = some_values(count, width)
        packed = pack(tensors(np.array(values, np.int64)), width)
        assert isinstance(packed, np.ndarray) and packed.tobytes() == slow_pack(values, width)
        back = unpack(tensors(packed.copy()), count, width)
        assert type(back).__module__ == "torch" and back.tolist() == values


@pytest.mark.usefixtures("_both_ways")
@looped("dtype", ["u1", "i2", "u4", "i8", "u8"])
def test_values_of_any_integer_type(dtype: str) -> None:
    values = np.array([1, 0, 100, 3, 127], dtype)
    for width in (7, 8, 11, 16, 24, 25, 32, 40):
        assert pack(values, width).tobytes() == slow_pack(values.tolist(), width)
        assert pack(np.repeat(values, 2)[::2], width).tobytes() == slow_pack(values.tolist(), width)


def test_long_streams() -> None:
    """Beyond any block that an implementation may work in, and on both sides of where it goes another way."""
    for count in (bits_kernel.FEW, bits_kernel.FEW + 1):
        values = some_values(count, 11)
        packed = pack(np.array(values, np.int64), 11)
        assert packed.tobytes() == slow_pack(values, 11) and unpack(packed, count, 11).tolist() == values
    for width in (1, 5, 8, 13, 21, 32, 63):
        values = some_values(9_003, width)
        packed = pack(np.array(values, np.int64), width)
        assert unpack(packed, len(values), width).tolist() == values
        assert pack(tensors(np.array(values, np.int64)), width).tobytes() == packed.tobytes()


FIELDS = st.lists(
    st.integers(0, MAX_WIDTH).flatmap(
        lambda w: st.tuples(st.just(w), st.lists(st.integers(0, (1 << w) - 1), max_size=20))
    ),
    max_size=8,
)


@settings(max_examples=200)
@given(FIELDS)
def test_fields_share_one_stream(fields: list[tuple[int, list[int]]]) -> None:
    """Fields of any widths and lengths, each starting where the last one ended, on whatever bit that is."""
    out, whole, at = BitWriter(), 0, 0
    for width, values in fields:
        out.write(np.array(values, np.int64), width)
        for value in values:
            whole |= value << at
            at += width
    assert out.nbits == at
    data = out.tobytes()
    assert data == whole.to_bytes((at + 7) // 8, "little")
    bits = BitReader(data)
    for width, values in fields:
        assert bits.read(len(values), width).tolist() == values
    assert bits.position == at


@settings(max_examples=100)
@given(
    st.lists(
        st.integers(0, 200).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, (1 << w) - 1))), max_size=8
    )
)
def test_single_integers_of_any_width(fields: list[tuple[int, int]]) -> None:
    out = BitWriter()
    for width, value in fields:
        out.write_int(value, width)
    bits = BitReader(out.tobytes())
    assert [bits.read_int(width) for width, _ in fields] == [value for _, value in fields]


@looped("lead", range(9))
def test_floats_on_any_bit(lead: int) -> None:
    values = np.array([1.5, -0.0, 3.4e38, 1e-45], np.float32)
    out = BitWriter()
    out.write_int(0, lead)
    out.write_float32(float(values[0]))
    out.write_floats32(values)
    out.write_floats32(np.repeat(values, 2)[::2])
    assert out.nbits == lead + 32 * 9
    whole = int.from_bytes(out.tobytes(), "little") >> lead
    assert whole.to_bytes(36, "little") == struct.pack("<9f", values[0], *values, *values)
    bits = BitReader(out.tobytes())
    assert bits.read_int(lead) == 0 and bits.read_float32() == 1.5
    assert bits.read_packed(32 * 4).view("<f4").tobytes() == values.tobytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_floats_are_finite(value: float) -> None:
    with pytest.raises(PayloadError, match="expected a finite number"):
        BitReader(struct.pack("<f", value)).read_float32()


@pytest.mark.usefixtures("_both_ways")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=6),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_batches_read_as_single_payloads_do(fields: list[tuple[int, int]], count: int, seed: int) -> None:
    """(width, length) fields of many payloads at once: a leading axis, and the same numbers."""
    nbits = 32 + sum(width * length for width, length in fields)
    stacked = np.random.default_rng(seed).integers(0, 256, (count, (nbits + 7) // 8), np.uint8)
    stacked[:, 3] &= 0x3F  # a finite float32 to begin with
    together, alone = BitReader(stacked), [BitReader(row.tobytes()) for row in stacked]
    assert together.read_float32().tolist() == [float(bits.read_float32()) for bits in alone]
    for width, length in fields:
        assert together.read(length, width).tolist() == [bits.read(length, width).tolist() for bits in alone]
        assert {together.position} == {bits.position for bits in alone}


def test_one_bad_float_of_a_batch() -> None:
    stacked = np.zeros((3, 4), np.uint8)
    stacked[1] = np.frombuffer(struct.pack("<f", np.inf), np.uint8)
    with pytest.raises(PayloadError, match="holds inf, expected a finite number"):
        BitReader(stacked).read_float32()


def test_reading_past_the_end() -> None:
    bits = BitReader(b"\xff\x01")
    assert bits.read_int(9) == 511
    for read in (
        lambda: bits.read_int(8),
        lambda: bits.read(8, 1),
        bits.read_float32,
        lambda: bits.read_packed(8),
    ):
        with pytest.raises(PayloadError, match="the payload ends at bit 16, a field needs"):
            read()
    assert bits.position == 9 and bits.read_int(7) == 0
    assert BitReader(b"").read(0, 5).size == 0 and BitReader(b"").read_int(0) == 0


def test_values_that_do_not_fit() -> None:
    for value, width in ((8, 3), (-1, 3), (1, 0)):
        with pytest.raises(ValueError, match=f"{value} does not fit {width} bits"):
            BitWriter().write_int(value, width)


def test_reading_does_not_write() -> None:
    """A reader shares memory with the payload, which callers keep."""
    payload = bytes(range(40))
    bits = BitReader(payload)
    bits.read_int(3)
    bits.read(20, 11)
    bits.read_packed(30)
    assert payload == bytes(range(40))
