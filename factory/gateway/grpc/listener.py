"""Runs the gRPC door on the running event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from factory.errors import FactoryError
from factory.gateway.grpc.door import GrpcDoor


@asynccontextmanager
async def listening(door: GrpcDoor, address: str, *, max_bytes: int, drain_s: float) -> AsyncIterator[int]:
    """Listen on `host:port` while the body runs, and yield the port; calls under way are answered before it ends."""
    options = [("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((door.handler(),))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise FactoryError(f"gRPC cannot listen on {address}: {error}; choose another port") from error
    await server.start()
    try:
        yield int(port)
    finally:
        await server.stop(drain_s)
