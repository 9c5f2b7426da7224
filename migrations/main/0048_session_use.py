"""When a session was used."""

from migrations.sql import run_beside

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
