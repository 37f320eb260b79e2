"""Errors as gRPC statuses and back: the one place where either is turned into the other.

On the server one interceptor maps what a handler raises; a worker reads the status back as the same class. The text of
a refusal travels as it is written, on one line. The text of anything unforeseen does not travel at all: it may hold a
``repr`` of internals. It is logged at the server, with its traceback.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NoReturn

import grpc

from gradwire.common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFiniteError,
    OutOfRange,
    PayloadError,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    WireError,
)

STATUSES: dict[type[WireError], grpc.StatusCode] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_TOLD = (*STATUSES, PayloadError, NotFiniteError)  # whose texts are written for the peer
# What gRPC itself answers when the peer is away, stopping or too slow: worth another try, like its UNAVAILABLE.
_ALSO_UNAVAILABLE = (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED)
_CLASSES = {code: kind for kind, code in STATUSES.items()} | dict.fromkeys(_ALSO_UNAVAILABLE, Unavailable)

UNFORESEEN = "the server failed in an unforeseen way: its log has the traceback"
MAX_DETAILS = 1000  # characters: gRPC drops a status whose headers pass 8 KiB, and percent-encodes them

_log = logging.getLogger(__name__)


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """The status code and the details that may cross the wire for ``error``."""
    if isinstance(error, PayloadError):  # a codec, which knows nothing of the wire, refused the peer's bytes
        return grpc.StatusCode.INVALID_ARGUMENT, _one_line(str(error))
    if isinstance(error, NotFiniteError):  # the run has ended; its workers are to know why
        return grpc.StatusCode.FAILED_PRECONDITION, _one_line(f"the run has ended: {error}")
    for kind, code in STATUSES.items():
        if isinstance(error, kind):
            return code, _one_line(str(error))
    return grpc.StatusCode.INTERNAL, UNFORESEEN


def error_of(error: grpc.aio.AioRpcError) -> WireError:
    """The error that the peer, or gRPC on the way, meant; a code that the API does not use is a plain WireError."""
    details = _one_line(error.details() or "")
    kind = _CLASSES.get(error.code())
    if kind is not None:
        return kind(details or f"the connection ended with {error.code().name} and no more words")
    return WireError(f"the peer answered {error.code().name}: {details or 'without a reason'}")


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Around a worker's calls: what gRPC raises becomes what the server raised.

    Raises:
        WireError: the subclass that the status stands for.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call whose handler raised with the status of what it raised.

    Handlers are coroutines or asynchronous generators, of any of gRPC's four kinds. A request that its deserializer
    cannot read is the caller's fault: INVALID_ARGUMENT.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        return handler and _guarded(handler)


def _guarded(handler: Any) -> Any:
    """A handler of the same kind whose behaviour and deserializer are watched."""
    kind = f"{_word(handler.request_streaming)}_{_word(handler.response_streaming)}"
    behaviour = getattr(handler, kind)
    guard = _guard_generator if inspect.isasyncgenfunction(behaviour) else _guard_coroutine
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(guard(behaviour), _guard_reading(handler.request_deserializer), handler.response_serializer)


def _guard_generator(behaviour: Any) -> Any:
    async def watched(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async with contextlib.aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    yield response
        except Exception as error:
            await _refuse(context, error)

    return watched


def _guard_coroutine(behaviour: Any) -> Any:
    async def watched(request: Any, context: Any) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:
            await _refuse(context, error)

    return watched


def _guard_reading(deserializer: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if deserializer is None:
        return None

    def read(raw: bytes) -> Any:
        try:
            return deserializer(raw)
        except Exception as error:
            raise InvalidArgument(
                "a message of this call cannot be read: the peer speaks another protocol"
            ) from error

    return read


async def _refuse(context: Any, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):  # the handler has ended the call itself
        raise error
    meant = _only_refusal(error)
    code, details = status_of(meant)
    if code is grpc.StatusCode.INTERNAL:
        _log.error("a call failed in an unforeseen way", exc_info=error)
    await context.abort(code, details)
    raise AssertionError("abort always raises")


def _only_refusal(error: Exception) -> Exception:
    """What a handler's task group means: its first refusal, if it holds nothing else."""
    leaves = list(_leaves(error))
    return leaves[0] if all(isinstance(leaf, _TOLD) for leaf in leaves) else error


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _word(is_streaming: bool) -> str:
    return "stream" if is_streaming else "unary"


def _one_line(text: str) -> str:
    """Printable, on one line and of bounded length, whoever wrote it."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= MAX_DETAILS else f"{shown[: MAX_DETAILS - 3]}..."
