-- Before it serves, the server looks whether the schema is the one it was written for.
-- Locks: alembic_version, which only a migration holds. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

GRANT SELECT ON alembic_version TO jolda_keys;
