"""What a vault holds unwrapped in memory, and a clock to wait by."""

from uuid import UUID

from server.vault.service import Vault


class Seconds:
    """A monotonic clock that stands still until it is moved."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


def held(vault: Vault) -> set[UUID]:
    """Return the keys that lie unwrapped in memory, whether or not they are still used."""
    held = vault._held  # noqa: SLF001 - what lies in memory
    places = (*held._by_id.values(), *held._by_place.values())  # noqa: SLF001 - what lies in memory
    return {key.key_id for _, key in places}
