"""The gRPC server: an address of its own, and the two methods on it."""

from __future__ import annotations

import grpc

from gradwire.common.errors import ConfigError
from gradwire.common.transport import protocol
from gradwire.common.transport.address import Address
from gradwire.common.transport.options import server_options
from gradwire.common.transport.statuses import StatusInterceptor
from gradwire.common.transport.tls import ServerTls
from gradwire.server.stream.service import ParameterServer
from gradwire.server.watching.service import WatchService


def listen(address: Address, tls: ServerTls | None) -> tuple[grpc.aio.Server, int]:
    """A gRPC server that has the address to itself, and its port; it takes no connection before it is started.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    server = grpc.aio.server(interceptors=[StatusInterceptor()], options=server_options())
    try:
        if tls is None:
            return server, server.add_insecure_port(address.target)
        return server, server.add_secure_port(address.target, tls.credentials())
    except RuntimeError as error:
        raise ConfigError(
            f"cannot listen on {address}: the port is in use or the address is not this machine's"
        ) from error


def attach(server: grpc.aio.Server, service: ParameterServer, watching: WatchService) -> None:
    """Let a gRPC server, not yet started, serve the protocol's methods."""
    train: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(service.train)
    watch: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(watching.watch)
    name, method = protocol.METHOD.strip("/").split("/")
    handlers = {method: train, protocol.WATCH.rpartition("/")[2]: watch}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
