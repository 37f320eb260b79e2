"""Layouts: what they refuse, how they compare, and that text and messages give them back."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.errors import InvalidArgument, LayoutError
from gradwire.common.training.layout import (
    DTYPES,
    FLOATS,
    MAX_ARRAYS,
    Layout,
    LayoutArray,
    Role,
    constant_digest,
)
from gradwire.common.transport import limits
from gradwire.common.transport.layouts import check_constants, layout_from_message, layout_to_message

WEIGHT = LayoutArray("fc.weight", (3, 2))
BIAS = LayoutArray("fc.bias", (3,), "bfloat16", aliases=("head.bias",))
MEAN = LayoutArray("norm.running_mean", (3,), role=Role.AVERAGED)
COUNT = LayoutArray("norm.count", (), "int64", Role.CONSTANT, constant_digest(bytes(8)))
LAYOUT = Layout((WEIGHT, BIAS, MEAN, COUNT), schema="columns 2\nclasses a, b")


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    found = []
    for index, role in enumerate(
        sorted(draw(st.lists(st.sampled_from(Role), max_size=5)), key=list(Role).index)
    ):
        dtype = draw(st.sampled_from(list(DTYPES) if role is Role.CONSTANT else list(FLOATS)))
        shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
        digest = draw(st.binary(min_size=16, max_size=16)) if role is Role.CONSTANT else b""
        aliases = tuple(f"a{index}.{k}" for k in range(draw(st.integers(0, 2))))
        found.append(LayoutArray(f"array {index} é", shape, dtype, role, digest, aliases))
    return Layout((LayoutArray("first", (1,)), *found), schema=draw(st.text()))


@given(layouts())
def test_text_and_message_give_a_layout_back(layout: Layout) -> None:
    assert Layout.from_json(layout.to_json()) == layout
    wire = layout_to_message(layout).SerializeToString()
    again = layout_from_message(type(layout_to_message(layout)).FromString(wire))
    assert again == layout and again.fingerprint == layout.fingerprint and layout.difference(again) is None


@given(layouts(), layouts())
def test_fingerprints_are_equal_where_the_layouts_are(one: Layout, other: Layout) -> None:
    assert (one == other) == (one.fingerprint == other.fingerprint) == (one.difference(other) is None)


def test_views_are_the_arrays_inside_the_vector() -> None:
    vector = np.arange(LAYOUT.dim, dtype=np.float32)
    views = {array.name: view for array, view in LAYOUT.views(vector)}
    assert (LAYOUT.trained, LAYOUT.averaged, LAYOUT.dim) == (9, 3, 12)
    assert {name: view.shape for name, view in views.items()} == {
        "fc.weight": (3, 2),
        "fc.bias": (3,),
        "norm.running_mean": (3,),
    }
    views["norm.running_mean"][:] = -1
    assert vector[9:].tolist() == [-1, -1, -1] and views["fc.weight"][2, 1] == 5
    assert Layout.flat(5).dim == 5 and Layout.flat(5).averaged == 0


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (LAYOUT.with_schema("columns 3\nclasses a, b"), "the schema has 'columns 2' here, 'columns 3' there"),
        (LAYOUT.with_schema(""), "the data have a schema here, none there"),
        (
            Layout((WEIGHT, BIAS, COUNT), schema=LAYOUT.schema),
            "norm.running_mean float32 [3] averaged here, norm.count int64 [] constant there",
        ),
        (
            Layout((LayoutArray("fc.weight", (2, 3)), BIAS, MEAN, COUNT), schema=LAYOUT.schema),
            "fc.weight float32 [3, 2] trained here, fc.weight float32 [2, 3] trained there",
        ),
        (
            Layout((WEIGHT, LayoutArray("fc.bias", (3,), "bfloat16"), MEAN, COUNT), schema=LAYOUT.schema),
            "fc.bias bfloat16 [3] trained = head.bias here, fc.bias bfloat16 [3] trained there",
        ),
        (
            Layout(
                (WEIGHT, BIAS, MEAN, LayoutArray("norm.count", (), "int64", Role.CONSTANT, bytes(range(16)))),
                schema=LAYOUT.schema,
            ),
            "the values of the constant array norm.count differ",
        ),
        (
            Layout((WEIGHT, BIAS, MEAN), schema=LAYOUT.schema),
            "norm.count int64 [] constant here, no further array there",
        ),
    ],
)
def test_the_first_difference_is_named(other: Layout, words: str) -> None:
    assert LAYOUT.difference(other) == words
    assert other.difference(LAYOUT) is not None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Layout(()), "no trained parameters"),
        (lambda: Layout((MEAN,)), "no trained parameters"),
        (lambda: Layout((LayoutArray("w", (0, 4)),)), "no trained parameters"),
        (lambda: Layout((MEAN, WEIGHT)), "not in the order trained, averaged, constant"),
        (lambda: Layout((WEIGHT, WEIGHT)), "two arrays of the model are called fc.weight"),
        (
            lambda: Layout((BIAS, LayoutArray("head.bias", (1,)))),
            "two arrays of the model are called head.bias",
        ),
        (lambda: Layout((WEIGHT,) * (MAX_ARRAYS + 1)), "at most 65536 are taken"),
        (lambda: LayoutArray("", (1,)), "expected 1 to 512 printable"),
        (lambda: LayoutArray("a\n", (1,)), "expected 1 to 512 printable"),
        (lambda: LayoutArray("w", (1,), "complex64"), "w is 'complex64', expected one of"),
        (lambda: LayoutArray("w", (1,), "int64"), "w is trained and int64"),
        (lambda: LayoutArray("w", (-1,)), "expected lengths of at least 0"),
        (lambda: LayoutArray("w", (1,), role=Role.CONSTANT), "a digest belongs to constant arrays"),
        (lambda: LayoutArray("w", (1,), digest=bytes(16)), "a digest belongs to constant arrays"),
        (lambda: Layout.from_json("{}"), "not a layout"),
        (lambda: Layout.from_json('{"arrays": [{"name": "w"}], "schema": ""}'), "not a layout"),
        (lambda: Layout.from_json("["), "not a layout"),
    ],
)
def test_what_is_no_layout_is_refused_in_one_line(make: object, words: str) -> None:
    with pytest.raises(LayoutError, match=re.escape(words)) as caught:
        make()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_a_message_that_is_no_layout_is_refused() -> None:
    message = layout_to_message(LAYOUT)
    message.arrays[0].dtype = "complex64"
    with pytest.raises(InvalidArgument, match=r"the model's layout: fc\.weight is 'complex64'"):
        layout_from_message(message)


def test_constants_must_be_those_of_the_digests() -> None:
    check_constants(LAYOUT, ())
    check_constants(LAYOUT, (bytes(8),))
    for values in ((bytes(7),), (b"\1" + bytes(7),), (bytes(8), bytes(8))):
        with pytest.raises(InvalidArgument, match="constant array"):
            check_constants(LAYOUT, values)


def test_the_largest_layout_fits_its_limit_on_the_wire() -> None:
    """Names as long as those of a large model."""
    arrays = [LayoutArray(f"model.layers.{i}.mlp.down_proj.weight", (4096, 14336)) for i in range(MAX_ARRAYS)]
    assert layout_to_message(Layout(tuple(arrays))).ByteSize() <= limits.LAYOUT_BYTES


def test_name_that_is_there_twice_is_found_among_many() -> None:
    """In one pass: a layout comes from a peer."""
    arrays = tuple(LayoutArray(f"w{k}", (1,)) for k in range(MAX_ARRAYS - 1))
    with pytest.raises(LayoutError, match="two arrays of the model are called w65534"):
        Layout((*arrays, arrays[-1]))


def test_a_hidden_schema_still_tells_layouts_apart() -> None:
    hidden, other = LAYOUT.with_hidden_schema(), LAYOUT.with_schema("columns 3").with_hidden_schema()
    assert hidden.hides_schema and not LAYOUT.hides_schema and "classes" not in hidden.schema
    assert hidden == hidden.with_hidden_schema() == LAYOUT.with_hidden_schema()
    assert "the schema has 'fingerprint " in str(hidden.difference(other))
    assert LAYOUT.difference(hidden) is hidden.difference(LAYOUT) is None
    assert "the schema has 'fingerprint " in str(LAYOUT.difference(other))
    assert Layout.flat(3).with_hidden_schema() == Layout.flat(3)
    bare = LAYOUT.with_schema("")
    assert (
        bare.with_hidden_schema() == bare
        and bare.difference(hidden) == "the data have no schema here, one there"
    )
