"""Adding a device, acknowledging its notice, and the phone's own switch for the location."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.accounts.model import Locale
from server.credentials import service as credentials
from server.credentials.model import Device, DeviceMissing
from server.devices import store
from server.devices.model import Acknowledgement, NoticeStanding, Permission, Switched
from server.gate import service as gate
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.policies import service as policies
from server.policies.model import (
    Document,
    DocumentMissing,
    DocumentStanding,
    EditionOutdated,
    TextDiffers,
)
from server.shifts import service as shifts
from server.shifts.model import ShiftState, shift_state
from server.vault.service import Vault


async def add(
    conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID, *, name: str, now: datetime
) -> tuple[Device, str]:
    """Register a phone app of an active driver and tell them; return it and its token, shown once.

    Raises
    ------
    MemberMissing, MemberStateRefused, DeviceNumbersUsedUp
    """
    made = await credentials.add_device(conn, vault, company_id, driver_id, name=name, now=now)
    told = {"added_at": rfc3339(now)}
    await notices.queue(conn, company_id, driver_id, NoticeKind.DEVICE_ADDED, told, now=now)
    return made


async def acknowledge(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    device_id: UUID,
    *,
    edition: int,
    language: Locale,
    sha256: str,
    now: datetime,
) -> Acknowledgement:
    """Record that the driver acknowledged this text of the device notice on this device.

    Of the edition in force, or of one to come. Again changes nothing and returns what was recorded
    then. Every process looks the device up again: the storing statement compares the count.

    Raises
    ------
    GateMissing, EditionMissing, EditionOutdated
    DeviceMissing
        It is not the driver's, or was revoked.
    TextDiffers
        The hash is not that of the edition's text in ``language``.
    """
    # The gate before the device, as in every act on a driver: two orders would deadlock.
    await gate.lock(conn, company_id, driver_id)
    device = await credentials.device(conn, company_id, driver_id, device_id)
    if device is None or device.revoked:
        raise DeviceMissing
    shown = await policies.edition(
        conn, company_id, Document.DEVICE_NOTICE, edition, language=language
    )
    if (shown.language, shown.sha256) != (language, sha256):
        raise TextDiffers
    await _refuse_outdated(conn, company_id, edition, now)
    new = Acknowledgement(
        device_id=device_id,
        member_id=driver_id,
        edition=edition,
        language=language,
        sha256=sha256,
        acknowledged_at=now,
    )
    if not await store.insert_acknowledgement(conn, company_id, new):
        return await store.acknowledgement(conn, company_id, device_id, edition) or new
    await gate.bump_credentials(conn, company_id, driver_id)
    await ledger.append(
        conn,
        company_id,
        Act.NOTICE_ACKNOWLEDGED,
        actor=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        subject_id=driver_id,
        facts={
            "document": Document.DEVICE_NOTICE.value,
            "edition": edition,
            "language": language.value,
            "sha256": sha256,
        },
        now=now,
    )
    return new


async def notice_in_force(
    conn: Connection, company_id: UUID, at: datetime
) -> DocumentStanding | None:
    """Return how the company's device notice stands at ``at``; None where there is none."""
    try:
        return await policies.standing_of(conn, company_id, Document.DEVICE_NOTICE, at)
    except DocumentMissing:
        return None


async def notices_standing(
    conn: Connection,
    company_id: UUID,
    device_ids: Sequence[UUID],
    notice: DocumentStanding | None,
) -> dict[UUID, NoticeStanding]:
    """Return of each device whether its user acknowledged the edition of ``notice`` in force.

    Where none is in force nobody can have: nothing is taken from such a device.
    """
    if notice is None:
        return dict.fromkeys(device_ids, NoticeStanding(acknowledged=False, until=None))
    newest = await store.newest_acknowledged(conn, company_id, device_ids)
    current = notice.in_force
    until = min((one.effective_at for one in notice.upcoming), default=None)
    return {
        device_id: NoticeStanding(
            acknowledged=current is not None and newest.get(device_id, 0) >= current.edition,
            until=until,
        )
        for device_id in device_ids
    }


async def set_permission(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    device_id: UUID,
    permission: Permission,
    *,
    now: datetime,
) -> Switched:
    """Write what the phone's switch says; ``denied`` stops recording, ``granted`` starts nothing.

    ``denied`` goes through ``gate.service.stopping``. Only the driver goes on after it, by
    resuming their shift or starting one.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    before = await store.permission(conn, company_id, device_id)
    await store.set_permission(conn, company_id, device_id, driver_id, permission, now)
    state = shift_state(await shifts.shift(conn, company_id, driver_id), now)
    if permission is Permission.GRANTED:
        return Switched(permission=permission, changed_at=now, shift=state)
    if state is not ShiftState.OFF:
        await shifts.pause(conn, company_id, driver_id, now=now)
        state = ShiftState.PAUSED
    else:  # with the scope `always` a window is open off shift as well
        at = await gate.moment(conn, company_id, driver_id, now)
        await gate.close_window(conn, company_id, driver_id, at=at)
        await gate.set_stopped(conn, company_id, driver_id, stopped=True)
    if before is not Permission.DENIED:
        await ledger.append(
            conn,
            company_id,
            Act.PERMISSION_DENIED,
            actor=Actor(kind=ActorKind.DEVICE, member_id=driver_id),
            subject_id=driver_id,
            now=now,
        )
    return Switched(permission=permission, changed_at=now, shift=state)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what is kept of the member's devices here; return the number of rows."""
    return await store.delete(conn, company_id, member_id)


async def _refuse_outdated(conn: Connection, company_id: UUID, edition: int, now: datetime) -> None:
    standing = await policies.standing_of(conn, company_id, Document.DEVICE_NOTICE, now)
    if standing.in_force is not None and edition < standing.in_force.edition:
        raise EditionOutdated(standing.in_force.edition)
