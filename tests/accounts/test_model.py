from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest

from server.accounts.logins import masked
from server.accounts.model import TimeZoneUnknown, refuse_time_zone
from server.credentials.access import ANY_MEMBER, DEVICE, DRIVER, MAIN_USER, STAFF, everyone, staff
from server.credentials.model import (
    Caller,
    Credential,
    MemberState,
    Role,
    Scope,
    may_call,
)
from tests.world import NOW

ID = UUID(int=7)
CALLERS = {
    "driver": Caller(company_id=ID, role=Role.DRIVER, member_id=ID),
    "dispatcher": Caller(company_id=ID, role=Role.DISPATCHER, member_id=ID),
    "main_user": Caller(company_id=ID, role=Role.MAIN_USER, member_id=ID),
    "device": Caller(company_id=ID, role=Role.DRIVER, member_id=ID, device_id=ID),
    "reader": Caller(company_id=ID, api_token_id=ID, scopes=frozenset({Scope.DRIVERS_READ})),
    "writer": Caller(company_id=ID, api_token_id=ID, scopes=frozenset({Scope.DRIVERS_WRITE})),
}


@pytest.mark.parametrize(("role", "state"), list(product(Role, [None, *MemberState])))
def test_only_active_staff_and_drivers_not_being_erased_may_call(
    role: Role, state: MemberState | None
) -> None:
    expected = state == "active" or (role == "driver" and state not in (None, "erasing"))

    assert may_call(role, state) is expected


@pytest.mark.parametrize(
    ("access", "who"),
    [
        (ANY_MEMBER, {"driver", "dispatcher", "main_user"}),
        (DRIVER, {"driver"}),
        (STAFF, {"dispatcher", "main_user"}),
        (MAIN_USER, {"main_user"}),
        (DEVICE, {"device"}),
        (staff(Scope.DRIVERS_READ), {"dispatcher", "main_user", "reader"}),
        (everyone(Scope.DRIVERS_WRITE), {"driver", "dispatcher", "main_user", "writer"}),
    ],
)
def test_an_access_permits_exactly_whom_it_names(access: object, who: set[str]) -> None:
    assert {name for name, caller in CALLERS.items() if access.permits(caller)} == who  # type: ignore[attr-defined]  # parametrized


@pytest.mark.parametrize("lasts", [timedelta(0), timedelta(seconds=-1)])
def test_a_credential_ends_at_its_time_not_after(lasts: timedelta) -> None:
    token = Credential(caller=CALLERS["reader"], expires_at=NOW + lasts)

    assert not token.holds(NOW)
    assert Credential(caller=CALLERS["reader"], expires_at=NOW + timedelta(seconds=1)).holds(NOW)


@pytest.mark.parametrize("name", ["", "Asia/Nowhere", "../../etc/passwd", "Asia", "\0"])
def test_a_time_zone_that_is_none_is_refused(name: str) -> None:
    refuse_time_zone("Asia/Almaty")

    with pytest.raises(TimeZoneUnknown):
        refuse_time_zone(name)


def test_a_masked_phone_shows_its_ends_only() -> None:
    assert masked("+77011234567") == "+7701*****67"
