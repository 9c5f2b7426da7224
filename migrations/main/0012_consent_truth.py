"""Consents with every item and state, their whole records, and what is left of them at the end."""

from migrations.sql import run_beside

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
