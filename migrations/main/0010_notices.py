"""Notices, their delivery with evidence, and who asked for marketing."""

from migrations.sql import run_beside

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_beside(__file__)
