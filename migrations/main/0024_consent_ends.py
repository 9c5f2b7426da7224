"""A shift that ended with a consent, and a guardian's consent that nobody revoked."""

from migrations.sql import run_beside

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
