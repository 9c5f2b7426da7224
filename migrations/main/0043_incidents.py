"""The register of incidents with personal data, and of whom they affect."""

from migrations.sql import run_beside

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
