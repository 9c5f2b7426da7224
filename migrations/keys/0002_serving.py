"""A log-in that owns nothing may serve: it can see at which revision the database stands."""

from migrations.sql import run_beside

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
