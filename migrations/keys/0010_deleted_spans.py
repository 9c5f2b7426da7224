"""Which span of their track a driver deleted, as the journal of what was taken away knows it."""

from migrations.sql import run_beside

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
