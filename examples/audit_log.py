"""Recompute the model of a run from its log without gradwire, following docs/log-format.md.

Usage: audit_log.py STATE_FOLDER. It knows the codecs float32 and cross_polytope (exact gain, tuple coding), the
optimizer sgd, and the three downlinks. It checks every row's checksum, every digest, the newest snapshot and the
digests with which the processes ended, and prints the digest of the recomputed parameters; where the log disagrees with
itself it exits with 1.
"""

import hashlib
import math
import re
import sqlite3
import struct
import sys
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

TABLES = (
    "run", "resolved", "releases", "layout", "constants", "rounds", "snapshots", "senders", "losses", "assignments",
    "metrics", "meta", "counted",
)  # fmt: skip
TYPES = {int: b"int", str: b"str", bytes: b"bytes"}
SGD = r"sgd\(lr=[^,]+, schedule=(constant|inverse_sqrt|step), momentum=[^,]+, every=\d+, factor=[^,]+\)"
KNOWN = rf"float32|cross_polytope\(repeats=\d+, gain=exact, coding=tuple, scale=.*\)|{SGD}|log|sum|model"


def fail(why: str) -> NoReturn:
    """Exit with 1 and one line."""
    sys.exit(f"audit_log: {why}")


# ---- docs/log-format.md --------------------------------------------------------------------------------------


def checksum(columns: Sequence[Any]) -> bytes:
    """BLAKE2b over type, length and content of each column."""
    total = hashlib.blake2b(digest_size=8)
    for column in columns:
        data = column.to_bytes(8, "little", signed=True) if isinstance(column, int) else column
        data = data.encode() if isinstance(data, str) else data
        total.update(b"%s %d " % (TYPES[type(column)], len(data)) + data)
    return total.digest()


def unpacked(data: bytes) -> list[int]:
    """A packed list of integers."""
    width, count = struct.unpack_from("<BQ", data)
    if width == 0:
        return list(struct.unpack_from("<Q", data, 9)) * count
    return [int(value) for value in np.frombuffer(data, f"<u{width}", count, 9)]


def read_log(folder: Path) -> dict[str, list[Any]]:
    """All rows by table, from a copy in memory that includes the write-ahead log."""
    source, copy = sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True), sqlite3.connect(":memory:")
    source.backup(copy)
    pragmas = [copy.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if pragmas != [0x67726164, 4]:
        fail(f"{folder} holds no log of version 4")
    rows = {table: copy.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}
    for table, found in rows.items():
        for row in found:
            if checksum(row[:-1]) != row[-1]:
                fail(f"a row of table {table} is damaged: {row[0]}")
    return rows


def snapshot(rows: dict[str, list[Any]], round_: int) -> np.ndarray:
    """The float32 arrays of a snapshot, one after the other."""
    parts = sorted(row for row in rows["snapshots"] if row[0] == round_)
    return np.frombuffer(b"".join(row[3] for row in parts), "<f4")


def read_spec(text: str) -> dict[str, str]:
    """The parameters of a canonical spec, in which each has its name; they are not nested here."""
    if not re.fullmatch(KNOWN, text):
        fail(f"{text} is not known to this example")
    return dict(re.findall(r"(\w+)=([^,)]+)", text))


# ---- docs/payloads.md ----------------------------------------------------------------------------------------


def add_cross_polytope(total: np.ndarray, payload: bytes, weight: int, spec: dict[str, str]) -> None:
    """Add the drawn vertices in the order drawn: index i is +r e_i, index dim + i is -r e_i."""
    dim, repeats = total.size, int(spec["repeats"])
    width, radius = (2 * dim - 1).bit_length(), float(spec["scale"]) * np.sqrt(np.float64(dim))
    value = (np.float64(struct.unpack_from("<f", payload)[0]) * weight / repeats) * radius
    bits = np.unpackbits(np.frombuffer(payload, np.uint8), bitorder="little")[32 : 32 + repeats * width]
    for vertex in (bits.reshape(repeats, width).astype(np.int64) @ (1 << np.arange(width))).tolist():
        total[vertex % dim] += value if vertex < dim else -value


def mean(spec: dict[str, str], payloads: list[bytes], weights: list[int], dim: int) -> np.ndarray:
    """The weighted mean of a round: sums in float64, in the order of the workers, then float32."""
    if spec:
        total = np.zeros(dim)
        for payload, weight in zip(payloads, weights, strict=True):
            add_cross_polytope(total, payload, weight, spec)
    else:
        values = [np.frombuffer(payload, "<f4").astype(np.float64) for payload in payloads]
        total = reduce(np.add, map(np.multiply, values, weights))  # starts with the first: 0.0 + -0.0 is 0.0
    return (total / float(sum(weights))).astype(np.float32)


# ---- docs/protocol.md ----------------------------------------------------------------------------------------


def digest_of(params: np.ndarray) -> int:
    """The digest of float32 parameters, modulo 2^64."""
    word = np.arange(params.size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + params.view(np.uint32)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((word ^ (word >> np.uint64(31))).sum(dtype=np.uint64))


def fingerprint_of(spec: str, dim: int) -> bytes:
    """The fingerprint of a codec's canonical spec."""
    text = f"{spec} dim={dim}".encode()
    return hashlib.blake2b(text, digest_size=16, person=b"gradwire-spec").digest()


def rate(optimizer: dict[str, str], t: int) -> float:
    """The learning rate of round t."""
    lr = float(optimizer["lr"])
    if optimizer["schedule"] == "inverse_sqrt":
        return lr / math.sqrt(t + 1)
    for _ in range(t // int(optimizer["every"]) if optimizer["schedule"] == "step" else 0):
        lr *= float(optimizer["factor"])
    return lr


def step(arrays: list[np.ndarray], update: np.ndarray, optimizer: dict[str, str], t: int) -> None:
    """SGD in float32: the arrays are the parameters and, with momentum, the velocity."""
    if len(arrays) == 2:
        arrays[1] *= np.float32(optimizer["momentum"])
        arrays[1] += update
        update = arrays[1]
    arrays[0] -= np.float32(rate(optimizer, t)) * update


# ---- the model -----------------------------------------------------------------------------------------------


def audit(folder: Path) -> int:
    """Recompute the model and compare it with every digest and snapshot in the log; its digest."""
    rows = read_log(folder)
    rounds = rows["run"][0][2]
    (dim, codec, fingerprint, optimizer, downlink, _) = rows["resolved"][0]
    if fingerprint != fingerprint_of(codec, dim):
        fail("the fingerprint is another codec's")
    spec, optimizer, _ = read_spec(codec), read_spec(optimizer), read_spec(downlink)
    stored = {row[0]: row for row in rows["rounds"]}
    newest = max(row[0] for row in rows["snapshots"])
    start = 0 if 0 in stored or not rounds else newest  # a pruned log begins with its newest snapshot
    arrays = list(snapshot(rows, start).reshape(1 + (float(optimizer["momentum"]) != 0), dim).copy())
    compared = 0
    covered, last = rows["counted"][0][:2] if rows["counted"] else (-1, b"")
    counted: dict[int, int] = {}
    for t in range(start, rounds):
        _, gaps, lengths, examples, digest, data, _ = stored.get(t) or fail(f"round {t} is missing")
        counted |= dict.fromkeys((np.cumsum(unpacked(gaps)) - 1).tolist(), t + 1)
        if (
            t + 1 == covered
            and not start
            and any(n != counted.get(w, 0) for w, n in enumerate(unpacked(last)))
        ):
            fail(f"table counted has other workers than the rounds up to {t}")
        ends = np.cumsum([0, *unpacked(lengths)])
        payloads = [data[a:b] for a, b in pairwise(ends)]
        weights = unpacked(examples) or [1] * len(payloads)
        step(arrays, mean(spec, payloads, weights, dim), optimizer, t)
        if digest and int.from_bytes(digest, "little") != digest_of(arrays[0]):
            fail(f"round {t} leads to another model than the server's")
        if t + 1 == newest and np.concatenate(arrays).tobytes() != snapshot(rows, newest).tobytes():
            fail(f"the snapshot after round {t} is of another model")
        compared += bool(digest)
    found = digest_of(arrays[0])
    for key, value, _ in rows["meta"]:
        if key.startswith("done ") and value != f"{found:016x}":
            fail(f"the process {key.removeprefix('done ')} ended with another model")
    print(f"{rounds - start} rounds, {dim} parameters, {compared} digests agree")
    return found


if __name__ == "__main__":
    print(f"digest {audit(Path(sys.argv[1])):016x}")
