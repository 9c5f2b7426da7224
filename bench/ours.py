"""A load generator is pointed only at what belongs to who runs it."""

from ipaddress import ip_address
from typing import Final

from bench.http1 import Origin

LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class OursOnly(Exception):
    """Nothing is sent to that address. ``str`` is a sentence for a person."""


def origin_of(url: str, *, is_mine: bool) -> Origin:
    """Return where to send.

    Raises
    ------
    OursOnly
        Another machine in clear text, or without its owner's word.
    ValueError
        It is no such URL.
    """
    origin = Origin.of(url)
    if _is_loopback(origin.host):
        return origin
    if origin.tls is None:
        raise OursOnly("Tokens and positions go to another machine over https:// only.")
    if not is_mine:
        raise OursOnly(
            f"{origin.host} is another machine. If it is yours to load, say --yes-this-is-mine."
        )
    return origin


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL
