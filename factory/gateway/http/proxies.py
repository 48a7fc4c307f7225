"""Who a client is, and under which address it knows the gateway, where proxies stand between them.

`Forwarded` (RFC 7239) and `X-Forwarded-For`, `-Proto` and `-Host` are heard from proxies that were named, and from
nobody else: anybody can write them.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from factory.errors import SettingRefused
from factory.gateway.http.messages import Request

_HOST = re.compile(r"[\w.\-\[\]:]{1,255}", re.ASCII)
_NODE = re.compile(r"[\w.\-:]{1,64}", re.ASCII)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_HOP = re.compile(rf'(?:[^",]|{_QUOTED})+')
_PAIR = re.compile(rf'\s*(\w+)=(?:({_QUOTED})|([^\s";,=]+))\s*')
_X = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")


class Origin(NamedTuple):
    """Who asked, by address, and by which scheme and host the client knows the gateway; empty where nobody says it."""

    client: str
    scheme: str
    host: str


class Proxies:
    """The proxies that were named, by their networks."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Raises SettingRefused on what is no network."""
        self._networks = [_network(one) for one in networks]

    def origin(self, request: Request) -> Origin:
        """Return who asked and how, as the proxies that were named say it; else as the connection does.

        Where a request has both forms and they differ, neither is believed: a proxy writes one and passes on the other.
        """
        host = request.headers.get(b"host", b"").decode("latin-1")
        direct = Origin(request.peer.address, request.peer.scheme, host if _HOST.fullmatch(host) else "")
        if not self._is_named(request.peer.address):
            return direct
        values = [
            self._client(one, direct) for one in (_forwarded(request.headers), _x_forwarded(request.headers)) if one
        ]
        return values[0] if values and all(one == values[0] for one in values) else direct

    def _client(self, hops: Sequence[Mapping[str, str]], direct: Origin) -> Origin:
        """Return what the farthest proxy that was named says; `hops` are listed from the client on."""
        for hop in reversed(hops):
            address = _address(hop.get("for", ""))
            if not self._is_named(address):
                break
        scheme, host = hop.get("proto", "").lower(), hop.get("host", direct.host)
        return Origin(
            address if _NODE.fullmatch(address) else direct.client,
            scheme if scheme in ("http", "https") else direct.scheme,
            host if _HOST.fullmatch(host) else direct.host,
        )

    def _is_named(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(mapped in network for network in self._networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise SettingRefused(
            f"{text!r} is no network for --trusted-proxy: {error}; give an address or a network, 10.0.0.0/8"
        ) from error


def _forwarded(fields: Mapping[bytes, bytes]) -> list[dict[str, str]]:
    """Return the pairs of each hop in a `Forwarded` field, from the client on; nothing of a field that is none."""
    hops = []
    for hop in _HOP.findall(fields.get(b"forwarded", b"").decode("latin-1")):
        pairs = [_PAIR.fullmatch(pair) for pair in hop.split(";")]
        if not all(pairs):
            return []
        hops.append({pair[1].lower(): (pair[2] or pair[3]).strip('"') for pair in pairs if pair})
    return hops


def _x_forwarded(fields: Mapping[bytes, bytes]) -> list[dict[str, str]]:
    """Return the same of the older fields; a scheme and a host that are told once are told of every hop."""
    clients, schemes, hosts = (
        [part.strip() for part in fields.get(name, b"").decode("latin-1").split(",")] for name in _X
    )
    hops = [{"for": client} for client in clients]
    for name, values in (("proto", schemes), ("host", hosts)):
        for place, hop in enumerate(hops):
            value = values[place] if len(values) == len(hops) else values[-1]
            if value:
                hop[name] = value
    return hops if any(hops[0].values()) else []


def _address(node: str) -> str:
    """Return the address of a hop, without a port and brackets."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node
