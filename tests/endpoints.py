"""Endpoints that belong together in a test: what a person does in one go is several features'."""

from typing import Final

from server.accounts.web import ENDPOINTS as MEMBERS
from server.attestations.web import ENDPOINTS as ATTESTING
from server.clarifications.web import ENDPOINTS as CLARIFYING
from server.consent.web import ENDPOINTS as CONSENTING
from server.controllers.web import ENDPOINTS as CONTROLLING
from server.credentials.web import ENDPOINTS as CREDENTIALS
from server.fleet_tracks.web import ENDPOINTS as OF_FLEETS
from server.guardians.web import ENDPOINTS as GUARDIANS
from server.invitations.web import ENDPOINTS as INVITATIONS
from server.kit.api import Endpoint
from server.life.joining_web import ENDPOINTS as JOINING
from server.log_in.web import ENDPOINTS as LOG_IN
from server.policies.web import ENDPOINTS as PUBLISHING
from server.receipts.web import ENDPOINTS as RECEIPTS
from server.shifts.web import ENDPOINTS as SHIFTS
from server.tracking.web import ENDPOINTS as READING
from server.uploads.web import ENDPOINTS as UPLOADING
from server.vehicles.web import ENDPOINTS as VEHICLES

ACCOUNTS: Final[tuple[Endpoint, ...]] = (*LOG_IN, *JOINING, *MEMBERS, *CREDENTIALS, *VEHICLES)
ATTESTATIONS: Final[tuple[Endpoint, ...]] = (*INVITATIONS, *ATTESTING, *GUARDIANS)
POLICIES: Final[tuple[Endpoint, ...]] = (*PUBLISHING, *CLARIFYING, *CONTROLLING)
CONSENT: Final[tuple[Endpoint, ...]] = (*CONSENTING, *RECEIPTS, *SHIFTS)
TRACKING: Final[tuple[Endpoint, ...]] = (*UPLOADING, *READING, *OF_FLEETS)
