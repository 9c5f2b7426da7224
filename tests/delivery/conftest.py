"""What goes out is what was told: the same company."""

from tests.notices.conftest import world

__all__ = ["world"]
