"""Specs, codecs and run configurations as protobuf messages; specs also back."""

from __future__ import annotations

from typing import Any

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import SpecError
from gradwire.common.spec import MAX_DEPTH, Spec, parse_spec
from gradwire.common.training.config import RunConfig
from gradwire.proto import wire_pb2


def spec_to_message(spec: Spec) -> wire_pb2.Spec:
    """A spec as a message; every value keeps its type."""
    arguments = [_argument("", value) for value in spec.args]
    arguments += [_argument(name, value) for name, value in spec.kwargs]
    return wire_pb2.Spec(name=spec.name, arguments=arguments)


def _argument(name: str, value: Any) -> wire_pb2.Argument:
    if value is None:
        return wire_pb2.Argument(name=name, none=True)
    if isinstance(value, bool):
        return wire_pb2.Argument(name=name, flag=value)
    if isinstance(value, int):
        return wire_pb2.Argument(name=name, integer=value)
    if isinstance(value, float):
        return wire_pb2.Argument(name=name, real=value)
    if isinstance(value, str):
        return wire_pb2.Argument(name=name, text=value)
    return wire_pb2.Argument(name=name, spec=spec_to_message(value))


def spec_from_message(message: wire_pb2.Spec, depth: int = 0) -> Spec:
    """A spec from a message.

    Raises:
        SpecError: nested too deeply, or an argument without a value.
    """
    if depth > MAX_DEPTH:
        raise SpecError(f"the spec is nested more than {MAX_DEPTH} deep")
    args, kwargs = [], []
    for argument in message.arguments:
        value = _value(argument, depth)
        if argument.name:
            kwargs.append((argument.name, value))
        else:
            args.append(value)
    return Spec(message.name, tuple(args), tuple(kwargs))


def _value(argument: wire_pb2.Argument, depth: int) -> Any:
    kind = argument.WhichOneof("value")
    if kind is None:
        raise SpecError(f"argument {argument.name!r} has no value: the peer speaks another version")
    if kind == "none":
        return None
    value = getattr(argument, kind)
    return spec_from_message(value, depth + 1) if kind == "spec" else value


def codec_to_message(codec: AnyCodec) -> wire_pb2.CodecSpec:
    """A codec with its dimension and fingerprint."""
    return wire_pb2.CodecSpec(
        spec=spec_to_message(parse_spec(codec.spec)), dim=codec.dim, fingerprint=codec.fingerprint
    )


def run_to_message(config: RunConfig, run_id: bytes) -> wire_pb2.Run:
    """A run as workers receive it."""
    return wire_pb2.Run(
        run_id=run_id,
        task=spec_to_message(parse_spec(config.task)),
        codec=spec_to_message(parse_spec(config.codec)),
        optimizer=spec_to_message(parse_spec(config.optimizer)),
        workers=config.workers,
        rounds=config.rounds,
        seed=config.seed,
        digest_every=config.digest_every,
        evaluate_every=config.evaluate_every,
        weigh_by_examples=config.weighting == "examples",
        error_feedback=config.feedback == "error",
        local=spec_to_message(parse_spec(config.local)) if config.local else None,
        partition=spec_to_message(parse_spec(config.partition)) if config.partition else None,
        weigh_by_size=config.weighting == "size",
        cohort=config.cohort,
    )
