"""Golden payloads: bytes that a release has put on wires, kept so that no later one reads or writes them otherwise.

One file per codec, ``golden_payloads/NAME.json``. The vector is an integer formula, the coins a list of words with a
formula of its own, so nothing here depends on a random generator that a library may change.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from gradwire.common.codecs import AnyCodec, parse
from tests.common.codecs.checks import typical
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.examples import LARGE_DIM, is_buildable, is_large, named_examples

FOLDER = Path(__file__).with_name("golden_payloads")
SHARED = 0x0123456789ABCDEF_FEDCBA9876543210
WHOLE = 128  # bytes; longer payloads are kept as their first bytes and a hash
SHOWN = 8  # decoded coordinates that are kept

Entry = dict[str, Any]


def file_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def how_to_make(name: str) -> str:
    return f"make it with `python -m tests.common.codecs.make_goldens {name}` and check the bytes before committing"


def cases(name: str) -> list[tuple[str, int]]:
    """(spec, dim) of every example of a family; those for real gradients also at a size of several chunks."""
    found = []
    for example in (e for n, e in named_examples() if n == name):
        found.append((example.spec, example.dim))
        if is_large(example) and is_buildable(example._replace(dim=LARGE_DIM)):
            found.append((example.spec, LARGE_DIM))
    return found


def make(spec: str, dim: int) -> Entry:
    """What a codec does today, with the replayed coins, to the float32 ramp."""
    codec = parse(spec, dim)
    payload = codec.encode(golden_vector(codec), ReplayCoins(), shared=shared_of(codec))
    return {
        "spec": spec,
        "dim": dim,
        "canonical": codec.spec,
        "fingerprint": codec.fingerprint.hex(),
        "nbits": codec.nbits,
        **written(payload),
        "decoded": decoded(codec, payload),
    }


def golden_vector(codec: AnyCodec) -> np.ndarray:
    """The ramp, in the codec's domain; halving a float32 is exact."""
    return typical(codec).astype(np.float32)


def shared_of(codec: AnyCodec) -> int | None:
    return SHARED if codec.shared_randomness else None


def written(payload: bytes) -> Entry:
    if len(payload) <= WHOLE:
        return {"payload": payload.hex()}
    digest = hashlib.blake2b(payload, digest_size=16).hexdigest()
    return {"bytes": len(payload), "begins": payload[:32].hex(), "blake2b": digest}


def decoded(codec: AnyCodec, payload: bytes) -> dict[str, float]:
    """The first coordinates that are not zero, by index."""
    xhat = codec.decode(payload, shared=shared_of(codec))
    return {str(i): float(xhat[i]) for i in np.flatnonzero(xhat)[:SHOWN]}


def load(name: str) -> list[Entry]:
    """The golden payloads of a family.

    Raises:
        FileNotFoundError: there are none; the message says how to make them.
    """
    path = file_of(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"tests/common/codecs/golden_payloads/{path.name} is missing: {how_to_make(name)}"
        )
    return json.loads(path.read_text())["payloads"]


def save(name: str, entries: list[Entry]) -> None:
    FOLDER.mkdir(exist_ok=True)
    file_of(name).write_text(json.dumps({"codec": name, "payloads": entries}, indent=1) + "\n")
