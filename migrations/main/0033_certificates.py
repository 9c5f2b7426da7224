"""What an erasure looks for before the keys go, and the certificate of what it did."""

from migrations.sql import run_beside

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
