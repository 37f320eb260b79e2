"""Codecs as protobuf messages: what a worker rebuilds from the server's bytes is the server's codec."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec, parse_spec
from gradwire.common.transport.specs import (
    codec_to_message,
    spec_from_message,
    spec_to_message,
)
from gradwire.proto import wire_pb2
from tests.common.codecs.examples import every_codec
from tests.common.test_spec import specs


def through_bytes(spec: Spec) -> Spec:
    return spec_from_message(wire_pb2.Spec.FromString(spec_to_message(spec).SerializeToString()))


def rebuilt(message: wire_pb2.CodecSpec) -> AnyCodec:
    return parse(spec_from_message(message.spec), message.dim)


@every_codec
def test_codec_round_trip(codec: AnyCodec) -> None:
    message = wire_pb2.CodecSpec.FromString(codec_to_message(codec).SerializeToString())
    again = rebuilt(message)
    assert again == codec and again.fingerprint == codec.fingerprint == message.fingerprint
    assert through_bytes(parse_spec(codec.spec)) == parse_spec(codec.spec)


@given(specs())
def test_any_spec_round_trip(spec: Spec) -> None:
    """Values keep their types: an integer stays one, and a text does not turn into a name."""
    again = through_bytes(spec)
    assert again == spec and repr(again) == repr(spec)


def nested(depth: int) -> wire_pb2.Spec:
    message = wire_pb2.Spec(name="a")
    for _ in range(depth):
        message = wire_pb2.Spec(name="a", arguments=[wire_pb2.Argument(spec=message)])
    return message


BAD: list[Any] = [
    wire_pb2.Spec(),
    wire_pb2.Spec(name="no name"),
    wire_pb2.Spec(name="two\nlines"),
    wire_pb2.Spec(name="simq", arguments=[wire_pb2.Argument(name="repeats")]),
    wire_pb2.Spec(name="simq", arguments=[wire_pb2.Argument(name="re peats", integer=1)]),
    nested(9),
]


@pytest.mark.parametrize("message", BAD, ids=range(len(BAD)))
def test_malformed_specs(message: wire_pb2.Spec) -> None:
    with pytest.raises(SpecError) as caught:
        spec_from_message(message)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60))
def test_arbitrary_bytes(data: bytes) -> None:
    """Any message is refused, or is a codec with another fingerprint than the one that was sent."""
    try:
        message = wire_pb2.CodecSpec.FromString(data)
    except Exception:  # protobuf's own refusal, which gRPC turns into a status
        return
    with contextlib.suppress(SpecError):
        assert rebuilt(message).fingerprint != message.fingerprint
