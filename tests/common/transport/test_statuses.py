"""Errors cross the wire as statuses and come back as the same class; internals do not cross it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gradwire.common import errors
from gradwire.common.transport.statuses import (
    MAX_DETAILS,
    STATUSES,
    UNEXPECTED,
    StatusInterceptor,
    error_of,
    status_of,
    wire_errors,
)
from tests.common.transport.peers import (
    TIMEOUT,
    Behaviour,
    bytes_handlers,
    channel_to,
    open_stream,
    server_process,
    serving,
)

SECRET = "object at 0x7f3a5c006ca0"
TELLTALE = errors.InvalidArgument("payload of worker 3 has 7 bytes, expected 52: encode with the run's codec")


def our_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Without those of gRPC, which complains when its completion queue outlives one test's event loop."""
    return [record for record in caplog.records if record.name.startswith("gradwire")]


def raises(error: BaseException) -> Behaviour:
    """A handler that answers one message and then raises."""

    async def handler(requests: AsyncIterator[bytes], context: Any) -> None:
        async for message in requests:
            await context.write(message)
            raise error

    return handler


async def refused(handlers: grpc.GenericRpcHandler) -> grpc.aio.AioRpcError:
    """How a call of /test/Fail ends behind the interceptor."""
    async with serving(handlers, interceptors=[StatusInterceptor()]) as port, channel_to(port) as channel:
        call = open_stream(channel, "/test/Fail")
        await call.write(b"message")
        assert await call.read() == b"message"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
    return raised.value


def refusal_of(error: BaseException) -> grpc.aio.AioRpcError:
    return asyncio.run(refused(bytes_handlers(Fail=raises(error))))


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_refusal_arrives_as_its_class(kind: type[errors.WireError]) -> None:
    answer = refusal_of(kind("round 7 is closed, expected 9: pull the log — then push"))
    assert answer.code() is STATUSES[kind]
    arrived = error_of(answer)
    assert type(arrived) is kind
    assert str(arrived) == "round 7 is closed, expected 9: pull the log — then push"


def test_each_wire_error_has_a_status() -> None:
    assert set(STATUSES) == set(errors.WireError.__subclasses__())
    assert len(set(STATUSES.values())) == len(STATUSES)


def test_payload_error_is_invalid_argument() -> None:
    assert status_of(errors.PayloadError("index 9 of 8")) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "index 9 of 8",
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        KeyError(SECRET),
        errors.LogError(SECRET),
        errors.WireError(SECRET),
        ExceptionGroup("group", [TELLTALE, RuntimeError(SECRET)]),
    ],
    ids=["unknown", "key", "internal", "no status", "mixed group"],
)
def test_unexpected_error_is_logged_and_not_sent(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    answer = refusal_of(error)
    assert answer.code() is grpc.StatusCode.INTERNAL
    assert answer.details() == UNEXPECTED
    assert SECRET not in repr(answer)
    (record,) = our_records(caplog)
    assert record.levelno == logging.ERROR and record.exc_info is not None
    assert record.exc_info[1] is error and record.exc_info[2] is not None


def test_refusal_in_a_task_group(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(requests: AsyncIterator[bytes], context: Any) -> None:
        await context.write(await anext(requests))
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            group.create_task(fail())

    async def fail() -> None:
        raise TELLTALE

    answer = asyncio.run(refused(bytes_handlers(Fail=handler)))
    assert (answer.code(), answer.details()) == status_of(TELLTALE)
    assert not our_records(caplog)


def test_details_are_one_short_printable_line() -> None:
    code, details = status_of(errors.OutOfRange("a\nb\x00c" + "é" * 5000))
    assert code is grpc.StatusCode.OUT_OF_RANGE
    assert details.startswith("a b c") and details.isprintable() and len(details) == MAX_DETAILS
    answer = refusal_of(errors.OutOfRange("long " + "é" * 5000))
    assert answer.code() is grpc.StatusCode.OUT_OF_RANGE


def test_received_details_are_printable() -> None:
    nothing = grpc.aio.Metadata()
    answer = grpc.aio.AioRpcError(grpc.StatusCode.OUT_OF_RANGE, nothing, nothing, details="a\n\x1b[2Jb")
    assert str(error_of(answer)) == "a  [2Jb"
    silent = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing)
    assert "UNAVAILABLE" in str(error_of(silent))


def test_handlers_own_abort_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(requests: AsyncIterator[bytes], context: Any) -> None:
        async for message in requests:
            await context.write(message)
            await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    answer = asyncio.run(refused(bytes_handlers(Fail=handler)))
    assert (answer.code(), answer.details()) == (grpc.StatusCode.DATA_LOSS, "gone")
    assert str(error_of(answer)) == "the peer answered DATA_LOSS: gone"
    assert type(error_of(answer)) is errors.WireError
    assert not our_records(caplog)


def test_cancelled_call_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def handler(requests: AsyncIterator[bytes], context: Any) -> None:
            try:
                async for message in requests:
                    await context.write(message)
            finally:
                ended.set()

        handlers = bytes_handlers(Echo=handler)
        async with serving(handlers, interceptors=[StatusInterceptor()]) as port, channel_to(port) as channel:
            call = open_stream(channel)
            await call.write(b"message")
            assert await call.read() == b"message"
            call.cancel()
            await asyncio.wait_for(ended.wait(), TIMEOUT)

    asyncio.run(run())
    assert not our_records(caplog)


def test_unknown_method_is_unimplemented() -> None:
    async def run() -> None:
        async with serving(interceptors=[StatusInterceptor()]) as port, channel_to(port) as channel:
            with pytest.raises(errors.WireError, match="UNIMPLEMENTED"), wire_errors():
                await open_stream(channel, "/test/Nothing").read()

    asyncio.run(run())


def test_absent_server_is_unavailable() -> None:
    async def run(port: int) -> None:
        async with channel_to(port) as channel:
            with pytest.raises(errors.Unavailable), wire_errors():
                await open_stream(channel).read()

    with server_process() as (_, port):
        pass
    asyncio.run(run(port))


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_killed_server_is_unavailable(how: str) -> None:
    async def run() -> None:
        with server_process() as (process, port):
            async with channel_to(port) as channel:
                call = open_stream(channel)
                await call.write(b"message")
                assert await call.read() == b"message"
                getattr(process, how)()
                with pytest.raises(errors.Unavailable), wire_errors():
                    await call.read()

    asyncio.run(run())


def test_stopped_server_is_unavailable() -> None:
    async def run() -> None:
        async with serving() as port:
            channel = channel_to(port)
            call = open_stream(channel)
            await call.write(b"message")
            assert await call.read() == b"message"
        with pytest.raises(errors.Unavailable), wire_errors():
            await call.read()
        await channel.close()

    asyncio.run(run())
