"""Since when a driver has had a route."""

from migrations.sql import run_beside

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
