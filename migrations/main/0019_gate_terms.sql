-- When each consent that binds positions runs out, whether recording waits for the driver to start
-- or resume, and when the gate was acted on last.
-- Locks: gate, briefly; its rows are few. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE gate ADD COLUMN location_until timestamptz;
ALTER TABLE gate ADD COLUMN dispatch_until timestamptz;
ALTER TABLE gate ADD COLUMN plan_fact_until timestamptz;
ALTER TABLE gate ADD COLUMN stopped boolean NOT NULL DEFAULT false;
ALTER TABLE gate ADD COLUMN acted_at timestamptz;

-- The owner is bound by row-level security as everybody is, and no policy is for the owner.
ALTER TABLE gate NO FORCE ROW LEVEL SECURITY;
ALTER TABLE consent_record NO FORCE ROW LEVEL SECURITY;
UPDATE gate g
   SET location_until = r.location_until, dispatch_until = r.dispatch_until,
       plan_fact_until = r.plan_fact_until
  FROM (SELECT company_id, driver_id,
               max(valid_until) FILTER (WHERE item = 'location') AS location_until,
               max(valid_until) FILTER (WHERE item = 'dispatch_tracking') AS dispatch_until,
               max(valid_until) FILTER (WHERE item = 'plan_fact') AS plan_fact_until
          FROM (SELECT DISTINCT ON (company_id, driver_id, item)
                       company_id, driver_id, item, state, valid_until
                  FROM consent_record
                 ORDER BY company_id, driver_id, item, version DESC) AS newest
         WHERE state = 'given'
         GROUP BY company_id, driver_id) AS r
 WHERE g.company_id = r.company_id AND g.driver_id = r.driver_id;
ALTER TABLE consent_record FORCE ROW LEVEL SECURITY;
ALTER TABLE gate FORCE ROW LEVEL SECURITY;

ALTER TABLE gate DROP COLUMN consented_until;
COMMENT ON COLUMN gate.location_until IS
    'When the consent to location runs out by itself; so dispatch_until and plan_fact_until.';
COMMENT ON COLUMN gate.stopped IS
    'Recording waits until the driver starts or resumes a shift, whatever the scope is.';
COMMENT ON COLUMN gate.acted_at IS
    'When it was acted on last: acts count in the order in which they got the row.';
