"""Keys of the ledger's details, the key that signs, and how far each ledger had come."""

from migrations.sql import run_beside

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
