-- When a session was used: one that nobody uses for two weeks ends. NULL: not since the day on which
-- it was opened, so of those that are there the ones older than that end with this.
-- Locks: session, for as long as adding a column without a default takes: no row is read or written.
-- Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE session ADD COLUMN used_at timestamptz;
COMMENT ON COLUMN session.used_at IS
    'class=personal/account form=clear retention=log_in eraser=end_sessions exporter=none:internal'
    ' -- The last use of it that was noted, at most once a day. NULL: none after its first day.';
