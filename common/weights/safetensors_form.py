"""``.safetensors``: eight bytes that give the length of a JSON header, the header, the arrays' bytes.

The form is specified at https://github.com/huggingface/safetensors. It is written here, not by the package of that
name: that package needs torch for bfloat16, and its function for plain bytes changed between releases.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.training.layout import DTYPES
from gradwire.common.weights.arrays import Array, Weights
from gradwire.common.weights.files import WeightFile

LETTERS = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_DTYPES = {letters: dtype for dtype, letters in LETTERS.items()}
METADATA = "__metadata__"
ALIGNMENT = 8
MAX_HEADER = 100_000_000  # bytes: the limit of the form


class SafetensorsFile(WeightFile):
    """A ``.safetensors`` file: arrays of all dtypes, and metadata."""

    ending = ".safetensors"

    def parts(self, weights: Weights, about: Mapping[str, str]) -> Sequence[bytes]:
        # Wide elements first, so that each array is aligned to its own.
        names = sorted(weights, key=lambda name: (-DTYPES[weights[name].dtype], name))
        header: dict[str, Any] = {METADATA: dict(sorted(about.items()))} if about else {}
        at, parts = 0, []
        for name in names:
            array = weights[name]
            parts.append(array.data)
            end = at + len(parts[-1])
            header[name] = {
                "dtype": LETTERS[array.dtype],
                "shape": list(array.shape),
                "data_offsets": [at, end],
            }
            at = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        return [len(text).to_bytes(8, "little"), text, *parts]

    def read(self) -> Weights:
        data = self.read_bytes()
        header, body = self._header(data)
        return {name: self._array(name, row, body) for name, row in header.items() if name != METADATA}

    def metadata(self) -> dict[str, str]:
        header, _ = self._header(self.read_bytes())
        return {str(key): str(value) for key, value in header.get(METADATA, {}).items()}

    def _header(self, data: bytes) -> tuple[dict[str, Any], memoryview]:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
            raise self.malformed("its header is longer than the file")
        try:
            header = json.loads(data[8 : 8 + length])
        except (ValueError, RecursionError) as error:
            raise self.malformed("its header is not JSON") from error
        if not isinstance(header, dict) or not all(isinstance(row, dict) for row in header.values()):
            raise self.malformed("its header is not a table")
        return header, memoryview(data)[8 + length :]

    def _array(self, name: str, row: Mapping[str, Any], body: memoryview) -> Array:
        if row.get("dtype") not in _DTYPES:
            raise ConfigError(
                f"{self.path}: {name} is {row.get('dtype')}, expected one of {', '.join(_DTYPES)}"
            )
        try:
            start, end = map(int, row["data_offsets"])
            if not 0 <= start <= end <= len(body):
                raise ValueError("outside the file")
            return Array.of_bytes(_DTYPES[row["dtype"]], [int(n) for n in row["shape"]], body[start:end])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self.malformed(f"{name} does not fit its shape, or the file") from error
