"""Ports that several processes are to share: found free, and held for them, before any of them is started."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from factory.errors import CannotListen


@contextmanager
def held_port(host: str, port: int) -> Iterator[int]:
    """Hold a port for processes that listen with SO_REUSEPORT, and yield its number; 0 takes a free one.

    It is held by sockets that do not listen, so that no connection ever waits at them. Raises CannotListen where
    another program has the port, even one that would share it.
    """
    with ExitStack() as held:
        try:
            for family, address in _addresses(host):
                port = _free(family, address, port)
                held.enter_context(_bound(family, address, port, socket.SO_REUSEADDR, socket.SO_REUSEPORT))
        except OSError as error:
            raise cannot_listen(host, port, error) from error
        yield port


def host_and_port(host: str, port: int) -> str:
    """Return `host:port`, with an IPv6 address in brackets as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def cannot_listen(host: str, port: int, error: OSError) -> CannotListen:
    """Return what a person is told where a port cannot be had."""
    why = error.strerror or error
    return CannotListen(f"cannot listen on {host_and_port(host, port)}: {why}; choose another --port or --host")


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """Return every address that the name stands for, each once, as a server that listens there would."""
    infos = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in infos))


def _free(family: socket.AddressFamily, address: str, port: int) -> int:
    """Return the port, or a free one for 0; raises OSError if anybody has it."""
    with _bound(family, address, port, socket.SO_REUSEADDR) as probe:
        probe.listen(1)
        return int(probe.getsockname()[1])


def _bound(family: socket.AddressFamily, address: str, port: int, *options: int) -> socket.socket:
    """Return a socket with a port.

    SO_REUSEADDR waits for no connection that fades away, and alone shares with no listener; SO_REUSEPORT shares.
    """
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound
