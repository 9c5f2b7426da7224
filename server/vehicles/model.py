"""The vehicles of a company. Their facts are nobody's personal data."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.kit import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    vehicle_id: UUID
    name: str
    plate: str
    created_at: datetime


class PlateTaken(errors.Conflict):
    slug = "plate-taken"
    title = "Another vehicle of this company has this plate"
