"""The specification language: what is written is read back, and what cannot be read is refused in one line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.codecs import codecs, parse, register
from gradwire.common.errors import SpecError
from gradwire.common.spec import (
    MAX_DEPTH,
    MAX_TEXT,
    Spec,
    bind_arguments,
    did_you_mean,
    fingerprint,
    format_value,
    parse_spec,
)

WORDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,8}", fullmatch=True).filter(
    lambda w: w not in ("true", "false", "none", "inf", "nan")
)
# Texts that must be quoted: a bare word is read as a name.
TEXTS = st.sampled_from(
    ["", "two words", "1st", "true", "inf", "none", "a,b", "(", "ünïcode!", "it's", "#", "-"]
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)  # what crosses the wire
NUMBERS = INTEGERS | st.floats(allow_nan=False)


def specs(depth: int = 2) -> st.SearchStrategy[Spec]:
    values: Any = NUMBERS | st.booleans() | TEXTS
    if depth:
        values = values | specs(depth - 1)
    kwargs = st.dictionaries(WORDS, values, max_size=3).map(lambda d: tuple(d.items()))
    return st.builds(Spec, WORDS, st.lists(values, max_size=3).map(tuple), kwargs)


@given(specs())
def test_round_trip(spec: Spec) -> None:
    again = parse_spec(str(spec))
    assert again == spec and str(again) == str(spec)
    assert repr(again) == repr(spec)  # True is not 1, and 1.0 is not 1


@given(st.text(max_size=40) | st.text("ab(),=.\"' 1e-+\n\t", max_size=30))
def test_any_text_is_a_spec_or_a_one_line_error(text: str) -> None:
    for read in (parse_spec, lambda t: parse(t, 3), lambda t: parse(f"simq_plus({t})", 3)):
        message = ""
        try:
            read(text)
        except SpecError as error:
            message = str(error)
        assert len(message.splitlines()) <= 1, repr(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends where a value was expected"),
        ("3", "is a value, expected a name"),
        ("true", "is a value, expected a name"),
        ("a(", r"a closing \) is missing"),
        ("a(1", r"a closing \) is missing"),
        ("a(1 2)", r"a comma or \) was expected before '2'"),
        ("a(,)", "a value was expected before ','"),
        ("a(x=)", r"a value was expected before '\)'"),
        ("a(x=1, x=2)", "x is given twice"),
        ("a(x=1, 2)", "without a name stands after a named one"),
        ("a) ", r"unexpected '\)' after a"),
        ("a b", "unexpected 'b' after a"),
        ("a(1e)", "cannot read '1e"),
        ("a(0x10)", "cannot read '0x10"),
        ("a('open)", "cannot read"),
        (f"a({1 << 63})", "9223372036854775808 is beyond 64 bits"),
        (f"a({-(1 << 63) - 1})", "-9223372036854775809 is beyond 64 bits"),
        (f"a({'9' * 4000})", "9{24}… is beyond 64 bits"),
        ("a(" * 10 + ")" * 10, "nested more than 8 deep"),
        ("a" * (MAX_TEXT + 1), "at most 4096 are read"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(text)


def test_nesting_depth_is_bounded() -> None:
    parse_spec("a(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH)
    with pytest.raises(SpecError):
        parse_spec("a(" * 1300)


@dataclass(frozen=True)
class Sample:
    count: int = 1
    share: float = 0.5
    path: str = "here"
    on: bool = False
    inner: Spec = Spec("inner")
    limit: int | None = None
    hidden: int = field(default=7, metadata={"spec": False})


@given(
    st.builds(
        Sample,
        INTEGERS,
        st.floats(allow_nan=False),
        TEXTS | WORDS,
        st.booleans(),
        specs(1),
        st.none() | INTEGERS,
    )
)
def test_parameters_round_trip(sample: Sample) -> None:
    values = {name: getattr(sample, name) for name in ("count", "share", "path", "on", "inner", "limit")}
    text = str(Spec("sample", (), tuple(values.items())))
    assert Sample(**bind_arguments(parse_spec(text), Sample)) == sample


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample(colour=1)", "sample has no argument 'colour'; known: count"),
        ("sample(shar=1)", "sample has no argument 'shar': did you mean share?"),
        ("sample(hidden=1)", "sample has no argument 'hidden'"),
        ("sample(1, count=2)", "sample: count is given twice"),
        ("sample(1, 2, a, true, b, 3, 4)", "sample takes 6 arguments"),
        ("sample(1.5)", "sample: count is 1.5, expected int"),
        ("sample(inf)", "sample: count is inf, expected int"),
        ("sample(true)", "sample: count is true, expected int"),
        ("sample(share=true)", "sample: share is true, expected float"),
        ("sample(path=3)", "sample: path is 3, expected str"),
        ("sample(path=a(b))", r"sample: path is a\(b\), expected str"),
        ("sample(on=1)", "sample: on is 1, expected bool"),
        ("sample(inner=3)", "sample: inner is 3, expected Spec"),
        ("sample(limit=word)", "sample: limit is word, expected int"),
    ],
)
def test_parameters_are_checked(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        bind_arguments(parse_spec(text), Sample)


def test_parameters_are_converted() -> None:
    bound = bind_arguments(parse_spec("sample(3.0, 2, limit=none)"), Sample)
    assert bound == {"count": 3, "share": 2.0, "limit": None}
    assert type(bound["count"]) is int and type(bound["share"]) is float


def test_missing_parameter() -> None:
    with pytest.raises(SpecError, match=r"bound needs bound: write bound\(bound=…\)"):
        parse("simq(gain=bound)", 3)


@pytest.mark.parametrize("text", ["tab\there", "two\nlines", 'a "quote"', "\x7f", "\u2028"])
def test_texts_that_cannot_be_spelled(text: str) -> None:
    with pytest.raises(SpecError, match="specs cannot spell that"):
        format_value(text)


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "1a", "a(b)", "-"])
def test_names_are_words(name: str) -> None:
    for make in (lambda: Spec(name), lambda: Spec("a", (), ((name, 1),))):
        with pytest.raises(SpecError, match="is not a name"):
            make()


def test_numbers_from_numpy_are_spelled_as_numbers() -> None:
    import numpy as np

    assert format_value(np.float64(0.1)) == "0.1" and format_value(math.inf) == "inf"


def test_equal_parameters_are_one_codec() -> None:
    """However it was built: 4 and 4.0 for a real parameter, positional or named, default or spelled out."""
    one = parse("simq_plus(p=4.0, gain=bound(bound=2.0))", 4)
    others = [
        codecs()["simq_plus"](dim=4, p=4, gain=Spec("bound", (2,))),
        parse("simq_plus(0, bound(2), tuple, 4)", 4),
        parse(" simq_plus ( repeats = 2 , p=4,gain=bound(2.))", 4),
    ]
    for other in others:
        assert other == one and other.spec == one.spec and other.fingerprint == one.fingerprint


def test_registered_names_cannot_be_replaced() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Impostor(codecs()["simq"]):  # type: ignore[misc]
        pass

    with pytest.raises(SpecError, match="two codecs are called 'simq': SimQ and"):
        register(Impostor)
    assert codecs()["simq"] is not Impostor


def test_hints_and_fingerprints() -> None:
    assert did_you_mean("simp", ["simq", "float32"]) == ": did you mean simq?"
    assert did_you_mean("zzz", ["b", "a"]) == "; known: a, b"
    assert len(fingerprint("a")) == 16 and fingerprint("a") != fingerprint("b")
