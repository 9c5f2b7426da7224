-- A shift says that the operator ended it: a backup of before was restored, and what is recorded
-- after it needs the driver's own start.
-- Locks: shift, for a change of the catalogue only (the new check is not held against old rows).
-- Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE shift DROP CONSTRAINT shift_ended_by_check;
ALTER TABLE shift ADD CONSTRAINT shift_ended_by_check CHECK (ended_by IN
    ('driver', 'dispatcher', 'main_user', 'forgotten', 'withdrawal', 'consent_ended', 'block',
     'erasure', 'operator')) NOT VALID;
