"""Runs the gRPC door on the running event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from factory.errors import CannotListen
from factory.gateway.endpoints.grpc.servicer import GrpcDoor


@asynccontextmanager
async def listening(
    door: GrpcDoor, address: str, tls: tuple[bytes, bytes] | None, *, max_bytes: int, drain_s: float, shared: bool
) -> AsyncIterator[int]:
    """Listen on an address while the body runs, and yield the port; calls under way are answered before it ends.

    `address` is `host:port`, an IPv6 host in brackets; `tls` is the private key and the certificate; `shared` lets
    other workers listen there too. Raises CannotListen where the port is taken.
    """
    options = [("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", int(shared))]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((door.handler(),))
    try:
        port = (
            server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
            if tls
            else server.add_insecure_port(address)
        )
    except RuntimeError as error:
        raise CannotListen(f"gRPC cannot listen on {address}: {error}; choose another --grpc-port") from error
    await server.start()
    try:
        yield int(port)
    finally:
        await server.stop(drain_s)
