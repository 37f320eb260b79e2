"""A decoder made of the Python blocks of docs/payloads.md agrees with the library, bit for bit."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from gradwire.common.arrays.update import Sparse, as_dense
from gradwire.common.codecs import AnyCodec, codecs, parse
from gradwire.common.codecs.forms import known_points
from gradwire.common.codecs.vqsgd import points as user_points
from gradwire.common.errors import PayloadError
from gradwire.common.randomness import worker_coins
from gradwire.common.training.record import RoundRecord, aggregate
from tests.common.codecs.checks import shared_of, typical
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.examples import EXAMPLES
from tests.docs.pages import blocks, examples, program

PAGE = program("payloads")
# The files that a decoder is given
PAGE["POINTS"].update({digest: known.points.tolist() for digest, known in known_points._KNOWN.items()})
MAX_DIM = 1001
SEEDS = (7, 1 << 100, 12345)
# What the examples of the codecs leave out: long codes, several tables, codecs inside codecs.
MORE = [
    ("cross_polytope(repeats=300, coding=multiset, gain=bound(1.0))", 500),
    ("cross_polytope(repeats=400, coding=joint)", 37),
    ("cross_polytope(repeats=200, coding=elias_fano)", 1001),
    ("simq_plus(repeats=300, coding=l1_ball)", 333),
    ("simq_plus(repeats=300, coding=type_signs)", 333),
    ("l1_systematic(300)", 600),
    ("l1_systematic(300)", 90),
    ("top_k(333, coding=set)", 1001),
    ("lq_split(p=1.9)", 300),
    ("lq_split(p=1.9, positions=mask)", 300),
    ("subsample(0.5, simplex(repeats=3))", 100),
    ("subsample(0.5, reed_muller(repeats=3))", 100),
    ("rotated(2, reed_muller(repeats=5))", 50),
    ("rotated(1, private(rr(1.0), simplex(repeats=2)))", 20),
    ("qsgd(levels=4, coding=gamma)", 777),
    ("private(rr(1.0), simplex(repeats=3, coding=multiset))", 9),
    ("private(subset_selection(1.0, 300), cross_polytope(repeats=2))", 1000),
    ("gain_shape(aguq(1.0, 1000), cross_polytope(repeats=3))", 20),
    ("gain_shape(aguq(1.0, 1000), cuq)", 20),
    ("nearest(blocks=7)", 300),
    ("private_top(4.0, repeats=3)", 100),
    ("dme(levels=9, rotate=true, entropy_coded=true)", 300),
    ("ratq(count=50, group=3)", 300),
    ("ratq(group=5, levels=15)", 1000),
    ("rand_k(700)", 1001),
    ("gaussian(7)", 9),
    ("linear_code(hamming)", 15),
    ("linear_code(golay)", 23),
    ("epsilon_net(0.8)", 9),
    (f"private(rr(1.0), points({user_points.TRIANGLE}, repeats=2))", 2),
    (f"private(subset_selection(0.5, 2), points({user_points.TETRAHEDRON}))", 3),
    (f"private(rr(2.0), points({user_points.RHOMBIC}, repeats=3))", 3),
    (f"private(rr(1.0), points({user_points.SCATTERED}))", 7),
    (f"private(oue(1.0), points({user_points.SEGMENT}))", 1),
]
GRID = sorted({(e.spec, e.dim) for e in EXAMPLES if e.dim <= MAX_DIM} | set(MORE))
# The smallest example of each codec; the others are slow.
QUICK = {
    min(((e.spec, e.dim) for e in cls.examples()), key=lambda pair: pair[1]) for cls in codecs().values()
}


def case(spec: str, dim: int) -> Any:
    marks = () if (spec, dim) in QUICK else pytest.mark.slow
    return pytest.param(parse(spec, dim), id=f"{spec} d={dim}", marks=marks)


every_codec = pytest.mark.parametrize("codec", [case(*each) for each in GRID])


def of_page(codec: AnyCodec) -> Any:
    return PAGE["build"](codec.spec, codec.dim)


@cache
def payloads_of(codec: AnyCodec) -> list[bytes]:
    """One payload for each of SEEDS."""
    x = typical(codec)
    return [
        codec.encode(x * (k + 1) / 3, ReplayCoins(1000 * k), shared=shared_of(codec, seed))
        for k, seed in enumerate(SEEDS)
    ]


def same_bits(ours: Any, theirs: Any) -> bool:
    words = {np.float32: np.uint32, np.float64: np.uint64}[theirs.dtype.type]
    return bool((np.asarray(ours, theirs.dtype).view(words) == theirs.view(words)).all())


@every_codec
def test_page_decodes_as_the_library_does(codec: AnyCodec) -> None:
    page = of_page(codec)
    assert page.nbits == codec.nbits and page.fixed == codec.fixed_length
    for payload, seed in zip(payloads_of(codec), SEEDS, strict=True):
        theirs = codec.decode(payload, shared=shared_of(codec, seed))
        assert same_bits(PAGE["decoded"](page, payload, seed), theirs)


@every_codec
@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 7, 5), (1,) * 30, tuple(range(1, 181))], ids=len)
def test_page_averages_as_the_library_does(codec: AnyCodec, weights: tuple[int, ...]) -> None:
    if len(weights) * codec.dim > 9000:
        pytest.skip("more would take long and show nothing else")
    payloads = (payloads_of(codec) * len(weights))[: len(weights)]
    seeds = (SEEDS * len(weights))[: len(weights)]
    total = codec.accumulator()
    total.add_all(payloads, weights, shared=[shared_of(codec, seed) for seed in seeds])
    theirs, page = total.mean(), of_page(codec)
    assert same_bits(PAGE["mean"](page, payloads, weights, seeds), as_dense(theirs))
    assert is_sparse(page, payloads, weights, seeds) == isinstance(theirs, Sparse)


def is_sparse(page: Any, payloads: Any, weights: Any, seeds: Any) -> bool:
    """The rule at the end of "From payloads to the mean"."""
    estimates = [
        page.weighed(page.symbols(p), s, w) for p, s, w in zip(payloads, seeds, weights, strict=True)
    ]
    estimates.append(page.closing(weights))
    indices = [i for estimate in estimates if isinstance(estimate, PAGE["Terms"]) for i, _ in estimate]
    only_terms = all(isinstance(estimate, PAGE["Terms"]) for estimate in estimates)
    if not only_terms or not 4 * len(indices) < page.size:
        return False
    point_set = getattr(page, "set", page)
    if isinstance(point_set, PAGE["Simplex"]):
        return bool(indices) and 0 not in indices
    return type(point_set).synthesise is PAGE["Codec"].synthesise


def damaged(payload: bytes) -> list[bytes]:
    """The payload with a bit flipped, a byte more or less, and other bytes altogether."""
    rng = np.random.default_rng(1)
    found = [payload + b"\0", payload[:-1]]
    for at in rng.integers(0, 8 * len(payload), 40 if payload else 0).tolist():
        flipped = bytearray(payload)
        flipped[at // 8] ^= 1 << at % 8
        found.append(bytes(flipped))
    return found + [rng.bytes(len(payload)) for _ in range(20 if len(payload) < 600 else 0)]


@every_codec
def test_page_refuses_what_the_library_refuses(codec: AnyCodec) -> None:
    page = of_page(codec)
    for payload in damaged(payloads_of(codec)[0]):
        try:
            theirs = codec.decode(payload, shared=shared_of(codec, 7))
        except PayloadError:
            with pytest.raises(PAGE["Refused"]):
                PAGE["decoded"](page, payload, 7)
        else:
            assert np.array_equal(PAGE["decoded"](page, payload, 7), theirs), payload.hex()


def test_page_has_every_codec() -> None:
    assert PAGE["FAMILIES"].keys() == codecs().keys()


def test_page_needs_the_standard_library_alone() -> None:
    imported = re.findall(r"^ *(?:import|from) (\w+)", "".join(blocks("payloads", "python")), re.MULTILINE)
    assert set(imported) - sys.stdlib_module_names == {"numpy", "scipy"}, "for gaussian alone"


@pytest.mark.parametrize("count", [*range(1, 40), 127, 128, 129, 200, 1000, 4097])
def test_pairwise_sum_is_that_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).random(count)
    assert PAGE["pairwise_sum"](values.tolist()) == float(values.sum())


def test_worked_examples() -> None:
    codec = parse("cross_polytope(repeats=2)", 3)
    x = np.array([[1.0, -2.0, 0.5], [0.5, 0.5, -1.0]])
    payloads = tuple(codec.encode(x[worker], worker_coins(7, 20, worker)) for worker in (0, 1))
    mean = aggregate(codec, 7, RoundRecord(20, (0, 1), payloads))
    assert examples("payloads") == {
        "payload": [payloads[0].hex()],
        "mean": [as_dense(mean).astype("<f4").tobytes().hex()],
    }
