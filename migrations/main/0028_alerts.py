"""Alerts about routes: limits, who wants to be told, and what was raised."""

from migrations.sql import run_beside

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
