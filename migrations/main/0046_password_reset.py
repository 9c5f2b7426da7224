"""Codes with which a person who forgot their password chooses another."""

from migrations.sql import run_beside

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
