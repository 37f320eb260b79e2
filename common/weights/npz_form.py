"""``.npz``: NumPy's archive of arrays. bfloat16, which NumPy has not, is written as float32."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from gradwire.common.errors import GradwireError
from gradwire.common.system.memory import require_memory
from gradwire.common.training.layout import DTYPES
from gradwire.common.weights.arrays import Array, Weights
from gradwire.common.weights.files import WeightFile


class NpzFile(WeightFile):
    """A ``.npz`` file."""

    ending = ".npz"

    def notes(self, weights: Weights) -> list[str]:
        count = sum(array.dtype == "bfloat16" for array in weights.values())
        return [f"{count} bfloat16 arrays are float32 in {self.path}: NumPy has no bfloat16"] if count else []

    def parts(self, weights: Weights, about: Mapping[str, str]) -> Sequence[bytes]:
        # np.savez would take a name such as "file" for an argument of its own, and store the time.
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name in sorted(weights):
                array = weights[name]
                values = array.widened() if array.dtype == "bfloat16" else array.values
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
        return [target.getvalue()]

    def read(self) -> Weights:
        data = self.read_bytes()
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                unpacked = sum(entry.file_size for entry in archive.zip.infolist())
                require_memory(unpacked, f"what {self.path} unpacks to")
                found = {name: archive[name] for name in archive.files}
        except GradwireError:
            raise
        except Exception as error:  # zlib's, zipfile's, tokenize's and NumPy's own, of many kinds
            raise self.malformed("NumPy cannot read it") from error
        for name, values in found.items():
            if not isinstance(values, np.ndarray):  # NumPy gives the bytes of what has no header
                raise self.malformed(f"{name} is no array")
            if values.dtype.name not in DTYPES:
                raise self.malformed(f"{name} is {values.dtype}")
        return {name: Array(values.dtype.name, values) for name, values in found.items()}
