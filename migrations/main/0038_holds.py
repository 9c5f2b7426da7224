"""What is kept of a driver although their erasure was asked for, why, and until when."""

from migrations.sql import run_beside

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
