"""Mechanisms may report an axis with both signs: every coding either represents that or is refused with the spec."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec, codecs, parse
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.codecs.vqsgd.points import TETRAHEDRON
from gradwire.common.codecs.wrappers import private
from gradwire.common.errors import SpecError
from gradwire.common.lossless.codings import CODINGS, SignedAxes
from gradwire.common.privacy.mechanisms.base import MECHANISMS
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.examples import SHARED
from tests.grids import rest_slow

ENCODINGS = 150
DIM, DRAWS = 3, 3
ARGUMENTS = {
    "linear_code": "generator=hamming",
    "points": f"digest={TETRAHEDRON}",
    "gaussian": "bits=5",
    "simq_plus": "p=4.0",
}
DIMS = {"linear_code": 7}
SETS = sorted(name for name, cls in codecs().items() if issubclass(cls, VertexCodec))
# Of each mechanism: those that report one vertex, and those that report several.
REPORTS = ["rr({e})", "rr({e}, nominal=true)", "rappor({e})", "oue({e})", "subset_selection({e}, 1)",
           "subset_selection({e}, 2)", "subset_selection({e})"]  # fmt: skip
OWN_BITS = ["rappor({e})", "oue({e})", "subset_selection({e}, 2)"]  # reports that no coding packs
SIGNED = {name for name, coding in CODINGS.items() if issubclass(coding, SignedAxes)}


def point_set(name: str, coding: str, draws: int = DRAWS) -> str:
    arguments = (ARGUMENTS.get(name, ""), f"repeats={draws}", f"coding={coding}")
    return f"{name}({', '.join(filter(None, arguments))})"


def dim_of(name: str) -> int:
    return DIMS.get(name, DIM)


def build(spec: str, dim: int) -> AnyCodec | None:
    """The codec, or None where it is refused, in one line that says what is expected."""
    try:
        return parse(spec, dim)
    except SpecError as error:
        message = str(error)
    assert "\n" not in message
    return None


def check_encodes(codec: AnyCodec) -> bool:
    """150 encodings can be read and decoded; whether vertices of both signs of an axis were among one's draws."""
    both = False
    for start in range(ENCODINGS):
        x = np.random.default_rng(start).normal(size=codec.dim)
        shared = SHARED[start % 3] if codec.shared_randomness else None
        payload = codec.encode(x / np.linalg.norm(x), ReplayCoins(997 * start), shared=shared)
        assert np.isfinite(codec.decode(payload, shared=shared)).all()
        named = np.asarray(getattr(unpack_checked(codec, payload), "reports", [])).reshape(-1)
        both |= len({(v % codec.dim) for v in named.tolist()}) < len(set(named.tolist()))
    return both


def test_every_mechanism_is_tried() -> None:
    assert {report.partition("(")[0] for report in REPORTS} == set(MECHANISMS)
    assert {"l1_ball", "type_signs"} == SIGNED


@pytest.mark.parametrize("name", SETS)
def test_every_coding_represents_the_draws_or_is_refused(name: str) -> None:
    for coding in sorted(CODINGS):
        codec = build(point_set(name, coding), dim_of(name))
        assert (codec is None) == (coding in SIGNED and not codecs()[name].signed_axes)
        if codec is not None:
            check_encodes(codec)


@pytest.mark.parametrize("report", rest_slow(REPORTS))
def test_every_coding_represents_the_reports_or_is_refused(report: str) -> None:
    tried = 0
    for name, coding in itertools.product(SETS, sorted(CODINGS)):
        inner, dim = point_set(name, coding), dim_of(name)
        found = (build(f"private({report.format(e=e)}, {inner})", dim) for e in (1.0, 0.2, 4.0))
        codec = next((codec for codec in found if codec is not None), None)
        if codec is not None:
            check_encodes(codec)
            tried += 1
    assert tried >= (10 if report in OWN_BITS else 32)


@pytest.mark.parametrize("name", ["simq", "simq_plus"])
@pytest.mark.parametrize("coding", sorted(SIGNED))
def test_refusal_names_codings_that_do(name: str, coding: str) -> None:
    """Also inside wrappers; one draw has no opposite."""
    spec = f"private(rr(1.0), {point_set(name, coding)})"
    expected = "cannot represent an axis with both signs.* expected one of elias_fano, joint, multiset, tuple"
    outside = [spec, f"subsample(0.9, {spec})", f"rotated(1, {spec})", f"rotated(1, subsample(0.9, {spec}))"]
    for outer in [*outside, f"float32_tail({spec}, 1)", spec.replace("rr(1.0)", "subset_selection(1.0, 1)")]:
        with pytest.raises(SpecError, match=expected):
            parse(outer, DIM + 1)
    assert build(f"private(rr(1.0), {point_set(name, coding, draws=1)})", DIM) is not None


@pytest.mark.parametrize("mechanism", ["rappor(1.0)", "oue(1.0)", "subset_selection(1.0, 2)"])
def test_reports_that_are_no_vertices_take_no_coding(mechanism: str) -> None:
    for coding in set(CODINGS) - {"tuple"}:
        with pytest.raises(
            SpecError, match=f"coding is {coding}, but {mechanism.partition('(')[0]} does not report"
        ):
            parse(f"private({mechanism}, {point_set('simq', coding)})", DIM)
    assert parse(f"private({mechanism}, {point_set('simq', 'tuple')})", DIM).nbits > 0


@pytest.mark.parametrize("coding", ["tuple", "multiset"])
def test_reports_do_have_both_signs(coding: str) -> None:
    assert check_encodes(parse(f"private(rr(1.0), {point_set('simq', coding)})", DIM))


def test_without_the_refusal_encodings_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that the refusal is for: a stated epsilon, and every fourth encoding fails."""
    monkeypatch.setattr(private, "check_takes_both_signs", lambda codec, mechanism: None)
    for coding in sorted(SIGNED):
        codec = parse(f"private(rr(1.0), {point_set('simq', coding)})", DIM)
        with pytest.raises(AssertionError, match="drawn with both signs"):
            check_encodes(codec)
