"""What a backup says of itself, and what a restored `main` lacks. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import rfc8785

from server.journal.model import Restoration
from server.kit.revision import Schema
from server.ledger.model import Place, instant_text
from server.vault.model import verifies

DUMP: Final = "dump"
MANIFEST: Final = "manifest.json"
VERSION: Final = "jolda.backup/1"
_STATEMENT: Final = b"jolda backup v1\0"
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024


class BackupRefused(Exception):
    """A backup cannot be made or used. ``str`` is one sentence for a person."""


class Behind(Exception):
    """`main` and the key database are not of one moment. ``str`` is one sentence for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """The signing key as the key database holds it: it opens with the KEK alone."""

    kek_id: bytes
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is in the folder of one database."""

    database: Schema
    dump_bytes: int
    sha256: str
    revision: str
    server: str
    """The version of PostgreSQL that it was dumped from."""
    database_bytes: int
    begun_at: datetime
    ended_at: datetime
    roles: tuple[str, ...]
    """Which roles its grants and policies name: they have to be there first."""
    heads: Mapping[UUID, Place]
    """Of `main`: where the ledger of each company ended."""
    key_id: UUID
    """Which key signed it, and its public half."""
    public_key: bytes
    sealed_key: SealedKey | None = field(default=None, repr=False)
    """Of `keys`: with it the KEK alone tells whether it is ours, before anything is restored."""

    def statement(self) -> bytes:
        """Return what is signed."""
        return _STATEMENT + rfc8785.dumps(self._document())

    def text(self, signature: bytes) -> str:
        """Return the file."""
        whole = {**self._document(), "signature": signature.hex()}
        return json.dumps(whole, indent=2, sort_keys=True) + "\n"

    @classmethod
    def read(cls, text: str) -> tuple[Self, bytes]:
        """Return a manifest and its signature, which is not checked yet.

        Raises
        ------
        BackupRefused
            It is none, or it was changed.
        """
        try:
            said = json.loads(text)
            if said["version"] != VERSION:
                raise BackupRefused("This backup was made by another version of Jolda.")
            return cls._of(said), bytes.fromhex(said["signature"])
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            raise BackupRefused("The manifest of this backup is damaged.") from None

    def refuse_forged(self, signature: bytes, public_keys: Mapping[UUID, bytes]) -> None:
        """Refuse what none of these keys signed.

        Raises
        ------
        BackupRefused
        """
        trusted = public_keys.get(self.key_id)
        if trusted is None:
            raise BackupRefused("This backup was signed by another installation.")
        if not verifies(trusted, signature, self.statement()):
            raise BackupRefused("The manifest of this backup was changed since it was signed.")

    @classmethod
    def _of(cls, said: Mapping[str, Any]) -> Self:
        sealed = said["sealed_key"]
        return cls(
            database=said["database"],
            dump_bytes=int(said["dump_bytes"]),
            sha256=said["sha256"],
            revision=said["revision"],
            server=said["server"],
            database_bytes=int(said["database_bytes"]),
            begun_at=datetime.fromisoformat(said["begun_at"]),
            ended_at=datetime.fromisoformat(said["ended_at"]),
            roles=tuple(said["roles"]),
            heads={
                UUID(company): Place(index=one["index"], hash=bytes.fromhex(one["hash"]))
                for company, one in said["heads"].items()
            },
            key_id=UUID(said["key_id"]),
            public_key=bytes.fromhex(said["public_key"]),
            sealed_key=None
            if sealed is None
            else SealedKey(
                kek_id=bytes.fromhex(sealed["kek_id"]), wrapped=bytes.fromhex(sealed["wrapped"])
            ),
        )

    def _document(self) -> dict[str, Any]:
        sealed = self.sealed_key
        return {
            "version": VERSION,
            "database": self.database,
            "file": DUMP,
            "dump_bytes": str(self.dump_bytes),
            "sha256": self.sha256,
            "revision": self.revision,
            "server": self.server,
            "database_bytes": str(self.database_bytes),
            "begun_at": instant_text(self.begun_at),
            "ended_at": instant_text(self.ended_at),
            "roles": list(self.roles),
            "heads": {
                str(company): {"index": one.index, "hash": one.hash.hex()}
                for company, one in sorted(self.heads.items())
            },
            "key_id": str(self.key_id),
            "public_key": self.public_key.hex(),
            "sealed_key": None
            if sealed is None
            else {"kek_id": sealed.kek_id.hex(), "wrapped": sealed.wrapped.hex()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a company's `main` stands to what the key database knows."""

    company_id: UUID
    is_there: bool
    """In `main`: a company that was made after the backup is not."""
    head: int
    """The last entry of its ledger; 0: none."""
    known: int
    """The last entry that the key database has heard of."""
    is_other: bool
    """What stands at a known place has another hash: it is no older history, but another one."""
    under_way: Restoration | None
    lost: int
    """Up to which entry everything is known to be lost, of a company that is not there."""
    undestroyed: tuple[UUID, ...]
    """Who was erased in `main`, but has keys: the key database is the one from before."""

    @property
    def is_behind(self) -> bool:
        return self.head < self.known and (self.is_there or self.lost < self.known)

    @property
    def is_restored(self) -> bool:
        """Whether its `main`, or its keys, are known to be from before."""
        return self.is_behind or self.under_way is not None

    @property
    def journal_until(self) -> datetime | None:
        """Up to when the journal is whole; None: to the end."""
        return None if self.under_way is None else self.under_way.journal_until

    @property
    def needs_reconciling(self) -> bool:
        return self.is_restored or bool(self.undestroyed)

    def refusal(self) -> str | None:
        """Return why nothing of this company may be served; None if it may."""
        if self.is_other:
            return (
                f"The ledger of the company {self.company_id} is another one than the key database "
                "knows: this is not its database. Run: jolda ledger verify"
            )
        if self.under_way is not None:
            return (
                "A backup was restored, and not all of it was reconciled yet. "
                "Run: jolda restore reconcile"
            )
        if self.is_behind:
            return (
                f"The database main is from before: the ledger of the company {self.company_id} "
                f"ends at entry {self.head}, and the key database knows of {self.known}. "
                "Run: jolda restore reconcile"
            )
        if self.undestroyed:
            return (
                "The key database is from before: people who were erased have keys in it. "
                "Run: jolda restore reconcile"
            )
        return None


def lost_of(restored_from: int, known_until: int) -> str:
    """Say which entries of a ledger are lost."""
    if known_until == restored_from:
        return f"nothing is known of that came after entry {restored_from}"
    return f"entries after {restored_from} are lost, {known_until} is the last that is known of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done to one company."""

    acts: int
    links: int
    disclosures: int
    """How many waited for their release."""
    held: int
    """Holds that were placed again."""
    waiting: int
    """Requests for erasure that got their whole time again."""
    erased: int
    indexed: int
    shortened: Sequence[str]
    """Which times were made shorter again, as sentences."""
    kept: str
    """For how long what is kept from now on."""

    def told(self, restored: Restoration) -> Iterator[str]:
        """Say it, and what is left to people."""
        yield (
            f"{lost_of(restored.restored_from, restored.known_until)}. All shifts, sessions and "
            f"invitations ended, and {counted(self.links, 'link')} of customers, "
            f"{counted(self.acts, 'act')} taken over, {counted(self.erased, 'person')} erased "
            f"again, {counted(self.indexed, 'log-in')} indexed anew."
        )
        if self.disclosures:
            yield (
                f"{counted(self.disclosures, 'disclosure')} that waited for release cancelled: "
                "whether it was refused, or given, after the backup is lost. Look into your papers "
                "before you record it anew."
            )
        if self.held:
            yield (
                f"{counted(self.held, 'hold')} placed again until the date of before; what "
                "showed that there is a ground is lost."
            )
        if self.waiting:
            yield (
                f"{counted(self.waiting, 'request')} for erasure, open or in grace, got the "
                "whole time again: look whether one was called off or refused after the backup."
            )
        if self.shortened:
            yield f"{'; '.join(self.shortened)}: that was set after the backup."
        yield (
            f"kept from now on: {self.kept}. Compare that with what was set: a time that was made "
            "shorter is shorter again, one that was made longer is not."
        )
        if restored.journal_until is not None:
            yield (
                "the key database was restored as well, and knows of nothing after "
                f"{restored.journal_until:%Y-%m-%d %H:%M:%S} UTC. Every consent was taken back, "
                "and is asked for again. Look through the blocks, phones, API tokens, holds, "
                "requests for erasure and times for which things are kept yourself: what was done "
                "to them after that is lost."
            )


def counted(count: int, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"
