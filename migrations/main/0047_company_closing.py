"""A company that is to close, or has closed."""

from migrations.sql import run_beside

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
