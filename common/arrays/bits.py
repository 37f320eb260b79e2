"""Bit streams: unsigned integers of any width, packed without gaps.

Stream bit ``k`` is bit ``k % 8`` (least significant first) of byte ``k // 8``, and a value's own bits follow
in the same order, so a 32-bit field that starts on a byte boundary is a little-endian word. The last byte is
padded with zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import U8, Array, is_tensor, namespace, to_host
from gradwire.common.errors import PayloadError

GROUP = 8  # values that together fill a whole number of bytes, whatever their width
MAX_WIDTH = 63  # bits; torch has no unsigned 64-bit shifts
# Up to so many values of a NumPy array, unpacking every bit is faster than one step per overlap of lane and byte.
FEW = 1000


def pack(values: Array, width: int) -> U8:
    """Pack non-negative integers below ``2**width``, ``width`` bits each.

    Args:
        values: integer array [n], NumPy or torch; a tensor is packed on its own device and only bytes cross.
        width: bits per value, 0 to 63.

    Returns:
        uint8 array [ceil(n * width / 8)].
    """
    count = values.shape[0]
    nbytes = (count * width + 7) // 8
    if nbytes == 0:
        return np.zeros(0, np.uint8)
    if not is_tensor(values) and width == 1:
        return np.packbits(values.astype(np.bool_, copy=False), bitorder="little")
    if not is_tensor(values) and width in (8, 16, 32):
        return np.ascontiguousarray(values, dtype=f"<u{width // 8}").view(np.uint8)
    if not is_tensor(values) and count <= FEW:
        return _pack_few(values, width)
    xp = namespace(values)
    lanes = _groups(_narrow(values, width), xp)
    out = xp.zeros((lanes.shape[0], width), dtype=xp.uint8, **_device(values))
    for lane, byte, shift in _overlaps(width):
        part = lanes[:, lane] << -shift if shift < 0 else lanes[:, lane] >> shift
        out[:, byte] |= xp.astype(part & 0xFF, xp.uint8)
    return to_host(xp.reshape(out, (-1,))[:nbytes])


def unpack(packed: Array, count: int, width: int) -> Array:
    """The inverse of ``pack``, over the last axis: bytes [..., k] to int64 [..., count], on the bytes' backend."""
    xp = namespace(packed)
    batch = packed.shape[:-1]
    if count * width == 0:
        return xp.zeros((*batch, count), dtype=xp.int64, **_device(packed))
    if not is_tensor(packed) and width == 1:
        return np.unpackbits(packed, axis=-1, count=count, bitorder="little").astype(np.int64)
    if not is_tensor(packed) and width in (8, 16, 32):
        whole = np.ascontiguousarray(packed[..., : count * width // 8])
        return whole.view(f"<u{width // 8}").astype(np.int64)
    if not is_tensor(packed) and math.prod(batch) * count <= FEW:
        return _unpack_few(packed, count, width)
    groups = -(-count // GROUP)
    missing = groups * width - packed.shape[-1]
    if missing > 0:
        packed = xp.concat([packed, xp.zeros((*batch, missing), dtype=xp.uint8, **_device(packed))], axis=-1)
    rows = xp.reshape(packed[..., : groups * width], (*batch, groups, width))
    out = xp.zeros((*batch, groups, GROUP), dtype=xp.int64, **_device(packed))
    for lane, byte, shift in _overlaps(width):
        part = xp.astype(rows[..., byte], xp.int64)
        out[..., lane] |= part >> -shift if shift < 0 else part << shift
    return xp.reshape(out & ((1 << width) - 1), (*batch, -1))[..., :count]


def _pack_few(values: NDArray[np.integer], width: int) -> U8:
    words = np.ascontiguousarray(values, dtype="<u8").view(np.uint8).reshape(-1, 8)
    return np.packbits(np.unpackbits(words, axis=1, count=width, bitorder="little"), bitorder="little")


def _unpack_few(packed: U8, count: int, width: int) -> NDArray[np.int64]:
    batch = packed.shape[:-1]
    bits = np.unpackbits(packed, axis=-1, count=count * width, bitorder="little")
    words = np.zeros((*batch, count, 8), np.uint8)
    words[..., : (width + 7) // 8] = np.packbits(
        bits.reshape(*batch, count, width), axis=-1, bitorder="little"
    )
    return words.view("<i8")[..., 0].astype(np.int64, copy=False)


def _overlaps(width: int) -> Iterator[tuple[int, int, int]]:
    """For each (lane, byte) of a group that share bits: how far right the lane's value moves to land in the byte."""
    for lane in range(GROUP):
        start, stop = lane * width, (lane + 1) * width
        for byte in range(start // 8, (stop + 7) // 8):
            yield lane, byte, 8 * byte - start


def _narrow(values: Array, width: int) -> Array:
    """The narrowest integers that hold ``width`` bits: packing is bound by the bytes it moves."""
    if is_tensor(values):
        import torch

        return values.to(torch.int32 if width <= 23 else torch.int64)
    # 8 bits of head room: a lane is shifted left by up to 7 before it is masked to a byte.
    dtype = np.uint16 if width <= 8 else np.uint32 if width <= 24 else np.uint64
    return values.astype(dtype)


def _groups(values: Array, xp: object) -> Array:
    short = -values.shape[0] % GROUP
    if short:
        values = xp.concat([values, xp.zeros((short,), dtype=values.dtype, **_device(values))])  # type: ignore[attr-defined]
    return values.reshape(-1, GROUP)


def _device(x: Array) -> dict[str, object]:
    return {"device": x.device} if is_tensor(x) else {}


class BitWriter:
    """Collects fields and joins them into one byte string without inner padding."""

    def __init__(self) -> None:
        self._parts: list[tuple[U8, int]] = []
        self.nbits = 0

    def write(self, values: Array, width: int) -> None:
        """Append integers [n] of ``width`` bits each."""
        self._append(pack(values, width), values.shape[0] * width)

    def write_int(self, value: int, width: int) -> None:
        """Append one integer of any width (bits)."""
        if not 0 <= value < 1 << width:
            raise ValueError(f"{value} does not fit {width} bits")
        self._append(np.frombuffer(value.to_bytes((width + 7) // 8, "little"), np.uint8), width)

    def write_float32(self, value: float) -> None:
        """Append one IEEE 754 binary32, 32 bits."""
        self._append(np.array([value], "<f4").view(np.uint8), 32)

    def write_floats32(self, values: NDArray[np.float32]) -> None:
        """Append binary32 values [n], 32 bits each, without a copy where the stream is byte-aligned."""
        self._append(np.ascontiguousarray(values, "<f4").view(np.uint8), 32 * values.shape[0])

    def _append(self, packed: U8, nbits: int) -> None:
        self._parts.append((packed, nbits))
        self.nbits += nbits

    def tobytes(self) -> bytes:
        """Everything written, ``ceil(nbits / 8)`` bytes, padding zero."""
        if len(self._parts) == 1:
            return self._parts[0][0].tobytes()
        out = np.zeros((self.nbits + 7) // 8, np.uint8)
        at = 0
        for packed, nbits in self._parts:
            _or_into(out, packed, at)
            at += nbits
        return out.tobytes()


def _or_into(out: U8, packed: U8, at: int) -> None:
    byte, shift = divmod(at, 8)
    if shift == 0:
        out[byte : byte + packed.size] |= packed
        return
    out[byte : byte + packed.size] |= packed << np.uint8(shift)
    spill = out[byte + 1 : byte + 1 + packed.size]
    spill |= packed[: spill.size] >> np.uint8(8 - shift)


class BitReader:
    """Reads the fields of a payload in order, or those of many payloads of one length at once.

    For one payload (``bytes``) arrays have the shapes below; for a batch (uint8 [n, nbytes]) a leading axis n is added.
    """

    def __init__(self, payloads: bytes | U8) -> None:
        self._bytes = np.frombuffer(payloads, np.uint8) if isinstance(payloads, bytes) else payloads
        self._at = 0

    @property
    def position(self) -> int:
        """Bits read so far."""
        return self._at

    def read(self, count: int, width: int) -> NDArray[np.int64]:
        """The next ``count`` integers of ``width`` bits: int64 [count]."""
        return unpack(self.read_packed(count * width), count, width)  # type: ignore[no-any-return]

    def read_int(self, width: int) -> int:
        """The next integer of any width (bits); of a single payload only."""
        packed = self.read_packed(width)
        return int.from_bytes(packed.tobytes(), "little") & ((1 << width) - 1)

    def read_float32(self) -> NDArray[np.float64]:
        """The next binary32: float64, of shape () for one payload.

        Raises:
            PayloadError: NaN or infinite: no encoder writes one.
        """
        values = np.ascontiguousarray(self.read_packed(32)).view("<f4")[..., 0]
        if not np.isfinite(values).all():
            bad = values[~np.isfinite(values)].flat[0]
            raise PayloadError(f"a float32 field holds {bad}, expected a finite number: it is corrupt")
        wide: NDArray[np.float64] = values.astype(np.float64)[()]
        return wide

    def read_packed(self, nbits: int) -> U8:
        """The next bits as bytes that start on a bit boundary; what follows them in the last byte is unspecified."""
        size = 8 * self._bytes.shape[-1]
        if self._at + nbits > size:
            raise PayloadError(f"the payload ends at bit {size}, a field needs {self._at + nbits}")
        byte, shift = divmod(self._at, 8)
        stop = (self._at + nbits + 7) // 8
        self._at += nbits
        packed = self._bytes[..., byte:stop]
        if shift == 0:
            return packed
        low = packed >> np.uint8(shift)
        low[..., :-1] |= packed[..., 1:] << np.uint8(8 - shift)
        return low[..., : (nbits + 7) // 8]
