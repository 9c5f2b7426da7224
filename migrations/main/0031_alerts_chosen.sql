-- Companies that are older than alerts have notices that do not name them: nothing is alerted there
-- until somebody chooses limits.
-- Locks: alert_limit, company, for an instant. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

-- The owner is bound by row-level security as everybody is, and no policy is for the owner.
ALTER TABLE company NO FORCE ROW LEVEL SECURITY;
ALTER TABLE alert_limit NO FORCE ROW LEVEL SECURITY;
INSERT INTO alert_limit (company_id, changed_at)
SELECT company_id, created_at FROM company
    ON CONFLICT (company_id) DO NOTHING;
ALTER TABLE alert_limit FORCE ROW LEVEL SECURITY;
ALTER TABLE company FORCE ROW LEVEL SECURITY;
