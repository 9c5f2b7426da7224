-- Which final reports could not be made.
-- Locks: plan_fact_report, briefly. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE plan_fact_report ADD COLUMN failed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN plan_fact_report.failed IS
    'Making it was begun at tried_at, and nothing came of it yet: it is tried again once a day, not '
    'each minute. A report that is stored is the one before.';
