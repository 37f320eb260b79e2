"""Train with a codec of your own: each coordinate as a float16, half the bytes of float32."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gradwire


@dataclass(frozen=True, kw_only=True)
class Half(gradwire.Codec):
    """Coordinates as IEEE 754 binary16, rounded to the nearest: biased, relative error at most 2^-11."""

    name = "half"
    source = "IEEE 754"
    unbiased = False

    @property
    def nbits(self):
        return 16 * self.dim

    def variance(self, norm=1.0):
        return norm**2 * 2.0**-22

    def _quantize(self, vector, coins, shared):
        return np.asarray(vector.on_host, np.float16)

    def _pack(self, symbols, out):
        out.write(symbols.view(np.uint16).astype(np.int64), 16)

    def _unpack(self, bits):
        return bits.read(self.dim, 16).astype(np.uint16).view(np.float16)

    def _reconstruct(self, symbols, shared):
        return symbols.astype(np.float64)

    @classmethod
    def examples(cls):
        return (gradwire.Example("half", 3),)


if __name__ == "__main__":
    command = ["run", "--task", "softmax(digits)", "--workers", "2", "--rounds", "20", "--json", "-"]
    own = ["--codec", "half", "--allow-codec", "own_codec:Half"]
    for words in (own, ["--codec", "float32"]):
        done = subprocess.run(
            [Path(sys.executable).with_name("gradwire"), *command, *words],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)}, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        summary = json.loads(done.stdout)
        print(f"{words[1]}: {summary['uplink']['payload_bytes']:,} bytes up, loss {summary['loss']:.4f}")
        assert summary["replicas_agree"]
