"""Triton's own clients, over HTTP and gRPC, each closed once."""

from contextlib import contextmanager

import tritonclient.grpc
import tritonclient.http

KINDS = {"http": tritonclient.http, "grpc": tritonclient.grpc}


@contextmanager
def client_at(kind, port):
    """A client of the server at a port of this machine."""
    client = KINDS[kind].InferenceServerClient(f"127.0.0.1:{port}")
    try:
        yield client
    finally:
        client.close()
        # Its __del__ closes once more, in whatever thread collects it, and gevent minds the thread.
        client.close = lambda: None


def client_of(kind, server):
    """A client of a gateway that runs in this process."""
    return client_at(kind, server.port if kind == "http" else server.grpc_port)
