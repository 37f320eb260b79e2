"""Errors as gRPC statuses and back: the one place where either is turned into the other.

On the server one interceptor maps what the handler raises; a worker reads the status back as the same class. The text
of a refusal crosses the wire as it is written, on one line. The text of any other exception does not, because it may
hold a ``repr`` of internals: it is logged at the server, with its traceback.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
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
_REFUSALS = (*STATUSES, PayloadError, NotFiniteError)  # whose texts are written for the peer
# What gRPC itself answers when the peer is away, stopping or too slow: worth a retry, like its UNAVAILABLE.
_ALSO_UNAVAILABLE = (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED)
_CLASSES = {code: kind for kind, code in STATUSES.items()} | dict.fromkeys(_ALSO_UNAVAILABLE, Unavailable)

UNEXPECTED = "the server failed unexpectedly: its log has the traceback"
MAX_DETAILS = 1000  # characters: gRPC drops a status whose headers pass 8 KiB, and percent-encodes them

_log = logging.getLogger(__name__)


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """The status code and the details that may cross the wire for ``error``."""
    if isinstance(error, PayloadError):  # raised by a codec, for the peer's bytes
        return grpc.StatusCode.INVALID_ARGUMENT, _one_line(str(error))
    if isinstance(error, NotFiniteError):  # ends the run; its workers get the reason
        return grpc.StatusCode.FAILED_PRECONDITION, _one_line(f"the run has ended: {error}")
    for kind, code in STATUSES.items():
        if isinstance(error, kind):
            return code, _one_line(str(error))
    return grpc.StatusCode.INTERNAL, UNEXPECTED


def error_of(error: grpc.aio.AioRpcError) -> WireError:
    """The error that a status stands for; a code that the API does not use becomes a plain WireError."""
    details = _one_line(error.details() or "")
    kind = _CLASSES.get(error.code())
    if kind is not None:
        return kind(details or f"the connection ended with {error.code().name}, without details")
    return WireError(f"the peer answered {error.code().name}: {details or 'without details'}")


@contextlib.contextmanager
def wire_errors() -> Iterator[None]:
    """Around a worker's calls: turn the errors that gRPC raises into those that the server raised.

    Raises:
        WireError: the subclass that the status stands for.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call whose handler raised with the status of the exception.

    For coroutines that serve a stream of plain bytes, with one request or a stream of them: the API has no other calls.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:  # an unknown method: gRPC answers UNIMPLEMENTED
            return None
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(_guarded(handler.unary_stream))
        return grpc.stream_stream_rpc_method_handler(_guarded(handler.stream_stream))


def _guarded(behaviour: Any) -> Any:
    async def guarded(requests: Any, context: Any) -> None:
        try:
            await behaviour(requests, context)
        except Exception as error:
            await _refuse(context, error)

    return guarded


async def _refuse(context: Any, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):  # the handler has ended the call itself
        raise error
    meant = _only_refusal(error)
    code, details = status_of(meant)
    if code is grpc.StatusCode.INTERNAL:
        _log.error("a call failed unexpectedly", exc_info=error)
    await context.abort(code, details)
    raise AssertionError("abort always raises")


def _only_refusal(error: Exception) -> Exception:
    """The first refusal of a handler's task group, if it holds refusals alone; else the error itself."""
    leaves = list(_leaves(error))
    return leaves[0] if all(isinstance(leaf, _REFUSALS) for leaf in leaves) else error


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _one_line(text: str) -> str:
    """Printable, on one line and of bounded length."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= MAX_DETAILS else f"{shown[: MAX_DETAILS - 3]}..."
