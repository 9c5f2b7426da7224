"""How long who tries passwords waits, and how much is kept of it."""

import asyncio

import pytest
from limits import RateLimitItemPerSecond

from server.kit.ids import uuid7
from server.log_in.attempts import FORGOTTEN_S, FREE_ATTEMPTS, WAIT_S_MAX, Attempts, network_of
from server.log_in.model import TooManyAttempts


class Seconds:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.mark.proves("relog-driver-manager-apps:6.3")
async def test_who_goes_on_waits_longer_but_never_more_than_a_minute() -> None:
    seconds = Seconds()
    attempts = Attempts(clock_s=seconds)
    for _ in range(FREE_ATTEMPTS):
        await attempts.take(None, b"a", "192.0.2.1")
    waits = []
    for number in range(9):
        with pytest.raises(TooManyAttempts) as refused:
            await attempts.take(None, b"a", f"192.0.2.{number}")
        waits.append(refused.value.retry_after_s or 0.0)
        await attempts.take(None, b"b", f"192.0.2.{number}")
        seconds.at += waits[-1]
        await attempts.take(None, b"a", f"192.0.2.{number}")

    assert waits == [1, 2, 4, 8, 16, 32, WAIT_S_MAX, WAIT_S_MAX, WAIT_S_MAX]
    seconds.at += FORGOTTEN_S
    for _ in range(FREE_ATTEMPTS):
        await attempts.take(None, b"a", "192.0.2.1")


async def test_a_right_password_forgives_at_its_company_only() -> None:
    attempts = Attempts(clock_s=Seconds())
    here, there = uuid7(), uuid7()
    for company_id in (here, there, None):
        for _ in range(FREE_ATTEMPTS):
            await attempts.take(company_id, b"a", "192.0.2.1")

    attempts.forgive(here, b"a")

    await attempts.take(here, b"a", "192.0.2.1")
    for company_id in (there, None):
        with pytest.raises(TooManyAttempts):
            await attempts.take(company_id, b"a", "192.0.2.1")


async def test_an_address_is_refused_until_its_window_ends() -> None:
    attempts = Attempts(RateLimitItemPerSecond(2, 1))

    await attempts.take(None, b"a", "192.0.2.1")
    await attempts.take(None, b"b", "192.0.2.1")
    with pytest.raises(TooManyAttempts):
        await attempts.take(None, b"c", "192.0.2.1")
    await attempts.take(None, b"c", "192.0.2.2")
    await asyncio.sleep(1.1)
    await attempts.take(None, b"c", "192.0.2.1")


async def test_what_nobody_tried_for_long_leaves_memory() -> None:
    seconds = Seconds()
    attempts = Attempts(clock_s=seconds)
    for number in range(50):
        await attempts.take(None, number.to_bytes(2), "192.0.2.1")
    seconds.at += FORGOTTEN_S
    await attempts.take(None, b"new", "192.0.2.1")

    assert len(attempts._tried) == 1  # noqa: SLF001 - memory is not seen from outside


async def test_a_blocked_address_adds_nothing_to_memory() -> None:
    attempts = Attempts(RateLimitItemPerSecond(5, 60))

    for number in range(100):
        try:
            await attempts.take(None, number.to_bytes(2), "192.0.2.1")
        except TooManyAttempts:
            continue

    assert len(attempts._tried) == 5  # noqa: SLF001 - memory is not seen from outside


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("", "unknown"),
    ],
)
def test_an_attacker_is_an_address_or_an_ipv6_network(address: str, network: str) -> None:
    assert network_of(address) == network
