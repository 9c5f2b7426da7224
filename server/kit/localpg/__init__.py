"""PostgreSQL that lives and dies with this process: no service, no port, no set-up."""

from server.kit.localpg.claim import remove
from server.kit.localpg.cluster import run
from server.kit.localpg.place import SUPERUSER, LocalPostgresError, binary
from server.kit.localpg.process import Server

__all__ = ["SUPERUSER", "LocalPostgresError", "Server", "binary", "remove", "run"]
