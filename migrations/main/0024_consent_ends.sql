-- A shift says that it ended with a consent where that was no withdrawal; and a guardian's consent
-- may end without anybody's act, when another company takes over.
-- Locks: shift and guardian_consent, each for a change of the catalogue only (the new checks are
-- not held against old rows). Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE shift DROP CONSTRAINT shift_ended_by_check;
ALTER TABLE shift ADD CONSTRAINT shift_ended_by_check CHECK (ended_by IN
    ('driver', 'dispatcher', 'main_user', 'forgotten', 'withdrawal', 'consent_ended', 'block',
     'erasure')) NOT VALID;

ALTER TABLE guardian_consent DROP CONSTRAINT guardian_consent_check1;
ALTER TABLE guardian_consent ADD CONSTRAINT guardian_consent_ended
    CHECK (revoked_by IS NULL OR revoked_at IS NOT NULL) NOT VALID;
COMMENT ON COLUMN guardian_consent.revoked_by IS
    'Who revoked it; NULL where nobody did: it is in force, or ended because another company took '
    'over.';
