"""As in the tests of erasure: an hour of grace, and a driver who is tracked."""

from tests.erasure.conftest import client, clock, driver

__all__ = ["client", "clock", "driver"]
