-- Until when a session counts as proven anew: whoever has only the session cannot do what gives new
-- rights. NULL: never, as of each session that is there.
-- Locks: session, for as long as adding a column without a default takes: no row is read or written.
-- Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE session ADD COLUMN stepped_up_until timestamptz;
COMMENT ON COLUMN session.stepped_up_until IS
    'class=personal/account form=clear retention=log_in eraser=end_sessions exporter=read_session'
    ' -- The password came right again within the ten minutes before. NULL: it was not asked for.';
