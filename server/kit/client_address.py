"""From which address a request comes, also behind proxies that are known."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

from aiohttp import web

_Address: TypeAlias = IPv4Address | IPv6Address

TRUSTED_PROXIES: web.AppKey[Sequence[IPv4Network | IPv6Network]] = web.AppKey("TRUSTED_PROXIES")
HOPS_MAX: Final = 16


def client_address(request: web.Request) -> str:
    """Return the address to hold the caller to; empty when there is none.

    Every proxy appends whom it was asked by. So the right-most address that is not a trusted proxy
    is the last one that somebody trusted has seen; what stands left of it, anybody can write.
    """
    trusted = request.app.get(TRUSTED_PROXIES, ())
    peer = _read(request.remote or "")
    if peer is None or not _is_in(peer, trusted):
        return request.remote or ""
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    seen = peer
    for hop in reversed(hops[-HOPS_MAX:]):
        address = _read(hop.strip())
        if address is None:
            break
        seen = address
        if not _is_in(seen, trusted):
            break
    return str(seen)


def _read(text: str) -> _Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: _Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)
