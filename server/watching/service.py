"""The method Watch: streams that only read, on connections that are not counted among the run's."""

from __future__ import annotations

import grpc
from google.protobuf.message import DecodeError

from gradwire.common.errors import FailedPrecondition, InvalidArgument
from gradwire.common.transport import protocol
from gradwire.proto import wire_pb2
from gradwire.server.tcp.carriers import Carriers
from gradwire.server.watching.watchers import Watchers

Context = grpc.aio.ServicerContext[bytes, bytes]


class WatchService:
    """Serves those who watch."""

    def __init__(self, watchers: Watchers, carriers: Carriers) -> None:
        self._watchers = watchers
        self._carriers = carriers

    async def watch(self, request: bytes, context: Context) -> None:
        """Serve one watcher until the run is over."""
        self._carriers.watches(context.peer())
        asked = _parsed(request)

        async def write(text: str) -> None:
            await context.write(wire_pb2.WatchEvent(json=text).SerializeToString())

        await self._watchers.watch(asked.points, write)


def _parsed(request: bytes) -> wire_pb2.WatchRequest:
    try:
        asked = wire_pb2.WatchRequest.FromString(request)
    except DecodeError as error:
        raise InvalidArgument("the request is no WatchRequest: the peer speaks another protocol") from error
    if asked.protocol != protocol.PROTOCOL:
        raise FailedPrecondition(
            f"the watcher speaks protocol {asked.protocol}, this server {protocol.PROTOCOL}: install one version"
        )
    return asked
