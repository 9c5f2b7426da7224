"""Which PostgreSQL is refused for its age."""

import pytest

from server.kit.db import UnsafePostgres, refuse_old


@pytest.mark.parametrize("version", [150_018, 160_014, 170_010, 180_004, 180_006, 190_000])
def test_a_server_with_the_known_fixes_is_taken(version: int) -> None:
    refuse_old(version)


@pytest.mark.parametrize(
    ("version", "needed"),
    [
        (140_023, "PostgreSQL 15 or newer"),
        (150_017, "15.18"),
        (160_013, "16.14"),
        (170_009, "17.10"),
        (180_003, "18.4"),
    ],
)
def test_a_server_without_them_is_told_what_it_needs(version: int, needed: str) -> None:
    with pytest.raises(UnsafePostgres, match=needed):
        refuse_old(version)
