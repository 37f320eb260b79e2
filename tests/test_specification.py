"""docs/payloads.md, docs/protocol.md and docs/log-format.md specify what the library does, bit for bit.

The Python blocks of docs/payloads.md are a decoder without NumPy. Here it reads what the library wrote.
"""

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradwire.common import downlinks
from gradwire.common.arrays.update import as_dense
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import PayloadError
from gradwire.common.randomness import worker_coins
from gradwire.common.training.digest import digest_of
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.common.transport import protocol
from gradwire.proto import wire_pb2
from gradwire.server.log.rows import round_row
from tests.common.codecs.checks import typical
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.examples import named_examples
from tests.documents import ROOT, blocks

DOCS = ROOT / "docs"
SEEDS = (7, 1 << 100, 12345)
QUICK_DIM, SLOW_DIM = 200, 1001  # the decoder of the page is a loop in Python


def programs(page: str) -> list[str]:
    return [block.text for block in blocks(DOCS / page) if block.kind == "python"]


def worked(page: str, name: str) -> list[str]:
    """The lines of a worked example."""
    (text,) = (block.text for block in blocks(DOCS / page) if block.mark == f"example: {name}")
    return text.splitlines()


@pytest.fixture(scope="module")
def page() -> SimpleNamespace:
    """The names that the blocks of docs/payloads.md define."""
    names: dict[str, Any] = {"__name__": "payloads"}
    exec(compile("\n\n".join(programs("payloads.md")), "docs/payloads.md", "exec"), names)
    return SimpleNamespace(**names)


# ---- payloads ----------------------------------------------------------------------------------------------

EXTRA = [
    ("cross_polytope(repeats=300, coding=multiset, gain=bound(1.0))", 500),
    ("cross_polytope(repeats=400, coding=joint)", 37),
    ("simq_plus(repeats=300, coding=type_signs)", 333),
    ("top_k(333, coding=set)", 1001),
    ("lq_split(p=1.9)", 300),
    ("subsample(0.5, simplex(repeats=3))", 100),
    ("rotated(1, private(rr(1.0), simplex(repeats=2)))", 20),
    ("private(subset_selection(1.0, 300), cross_polytope(repeats=2))", 1000),
    ("gain_shape(aguq(1.0, 1000), cross_polytope(repeats=3))", 20),
    ("dme(levels=9, rotate=true, entropy_coded=true)", 300),
    ("top_signs(200, rotations=5)", 500),
]


def cases() -> list[Any]:
    found = dict.fromkeys([*((example.spec, example.dim) for _, example in named_examples()), *EXTRA])
    return [
        pytest.param(spec, dim, id=f"{spec} d={dim}", marks=() if dim <= QUICK_DIM else pytest.mark.slow)
        for spec, dim in found
        if dim <= SLOW_DIM
    ]


def shared(codec: AnyCodec, seed: int) -> int | None:
    return seed if codec.shared_randomness else None


def written(codec: AnyCodec) -> list[bytes]:
    """One payload for each seed, of vectors of different lengths."""
    x = typical(codec)
    return [
        codec.encode(x * (k + 1) / len(SEEDS), ReplayCoins(1000 * k), shared=shared(codec, seed))
        for k, seed in enumerate(SEEDS)
    ]


def damaged(payload: bytes, rng: np.random.Generator) -> list[bytes]:
    """Other lengths, single bits flipped, and bytes at random."""
    found = [payload + b"\0", payload[:-1]]
    for _ in range(20):
        flipped = bytearray(payload)
        at = int(rng.integers(8 * len(payload)))
        flipped[at // 8] ^= 1 << at % 8
        found += [bytes(flipped), rng.bytes(len(payload))]
    return found


def mean_of(
    codec: AnyCodec, payloads: Sequence[bytes], weights: Sequence[int], seeds: Sequence[int]
) -> np.ndarray:
    total = codec.accumulator()
    total.add_all(payloads, weights, shared=[shared(codec, seed) for seed in seeds])
    return as_dense(total.mean())


@pytest.mark.parametrize(("spec", "dim"), cases())
def test_page_reads_what_the_library_writes(page: SimpleNamespace, spec: str, dim: int) -> None:
    codec = parse(spec, dim)
    reader = page.build(codec.spec, dim)
    payloads = written(codec)
    assert reader.nbits == codec.nbits
    for payload, seed in zip(payloads, SEEDS, strict=True):
        assert (
            page.decoded(reader, payload, seed) == codec.decode(payload, shared=shared(codec, seed)).tolist()
        )
    for weights in ((1, 1, 1), (3, 7, 5)):
        expected = mean_of(codec, payloads, weights, SEEDS)
        found = np.array(page.mean(reader, payloads, weights, SEEDS), np.float32)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("spec", "dim"), cases())
def test_page_refuses_what_the_library_refuses(
    page: SimpleNamespace, spec: str, dim: int, fresh: np.random.Generator
) -> None:
    codec = parse(spec, dim)
    reader = page.build(codec.spec, dim)
    for payload in damaged(written(codec)[0], fresh):
        try:
            expected: list[float] | None = codec.decode(payload, shared=shared(codec, SEEDS[0])).tolist()
        except PayloadError:
            expected = None
        try:
            found: list[float] | None = page.decoded(reader, payload, SEEDS[0])
        except page.Refused:
            found = None
        assert found == expected, payload.hex()


# ---- worked examples ---------------------------------------------------------------------------------------

PARAMS = np.array([0.5, 0.25, -1.0], np.float32)
DENSE, VERTICES = (parse(spec, 3) for spec in ("float32", "cross_polytope(repeats=2)"))
PAYLOADS = tuple(
    VERTICES.encode(np.array(x), worker_coins(7, 20, worker))
    for worker, x in enumerate(([1.0, -2.0, 0.5], [0.5, 0.5, -1.0]))
)
RECORD = RoundRecord(20, (0, 1), PAYLOADS)


def test_payload_and_mean() -> None:
    assert worked("payloads.md", "payload") == [PAYLOADS[0].hex()]
    mean = as_dense(aggregate(VERTICES, 7, RECORD)).astype("<f4")
    assert worked("payloads.md", "mean") == [mean.tobytes().hex()]


def test_fingerprint() -> None:
    text, mark = worked("protocol.md", "fingerprint")
    assert (text, mark) == (f"{VERTICES.spec} dim=3", VERTICES.fingerprint.hex())
    expression = programs("protocol.md")[0]
    assert eval(expression, {"hashlib": hashlib, "spec": VERTICES.spec, "dim": 3}) == VERTICES.fingerprint


def test_digest(fresh: np.random.Generator) -> None:
    assert worked("protocol.md", "digest") == [
        PARAMS.astype("<f4").tobytes().hex(),
        f"{digest_of(PARAMS):016x}",
    ]
    names: dict[str, Any] = {}
    exec(programs("protocol.md")[1], names)
    params = fresh.normal(size=100).astype(np.float32)
    assert names["digest"](params.view(np.uint32).tolist()) == digest_of(params)


def test_pushes_and_entry() -> None:
    dense = DENSE.encode(np.array([1.0, -2.0, 0.5]), np.random.default_rng(0))
    first = protocol.push_message(DENSE, 20, [dense], losses=[0.25], digest=digest_of(PARAMS))
    second = protocol.push_message(VERTICES, 20, PAYLOADS, losses=[0.25, 0.5])
    downlink = downlinks.parse("log", codec=VERTICES, seed=7, workers=2)
    entry = wire_pb2.FromServer(entry=downlink.build(downlinks.CommittedRound(RECORD)))
    for name, message in (("push-float32", first), ("push-cross-polytope", second), ("entry-log", entry)):
        assert worked("protocol.md", name) == [message.SerializeToString(deterministic=True).hex()]


def test_row_of_the_log() -> None:
    row = round_row(RECORD, digest_of(PARAMS))
    assert worked("log-format.md", "log-round") == [v.hex() if isinstance(v, bytes) else str(v) for v in row]
