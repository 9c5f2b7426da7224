-- Reads of locations are kept for a year; who looks at many drivers raises an alert.
-- Locks: company, for a column; the tables of reads, for policies and an index (it is made at once:
-- stop the server where there are many reads already). Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE company ADD COLUMN bulk_read_drivers_max integer NOT NULL DEFAULT 50
    CHECK (bulk_read_drivers_max BETWEEN 1 AND 1000000);
COMMENT ON COLUMN company.bulk_read_drivers_max IS
    'Whoever looks at tracks or reports of more drivers than this within an hour raises an alert.';

CREATE TABLE viewer_alert (
    company_id  uuid        NOT NULL,
    alert       text        NOT NULL CHECK (alert <> ''),
    viewer_kind text        NOT NULL CHECK (viewer_kind <> ''),
    viewer_id   uuid        NOT NULL,
    raised_at   timestamptz NOT NULL,
    PRIMARY KEY (company_id, alert, viewer_kind, viewer_id)
);
COMMENT ON TABLE viewer_alert IS
    'When a viewer last raised an alert of that name: not again within an hour. viewer_id is '
    'a pseudonym, or an API token''s id. The alerts themselves stand in the ledger.';
ALTER TABLE viewer_alert ENABLE ROW LEVEL SECURITY;
ALTER TABLE viewer_alert FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON viewer_alert TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE (raised_at) ON viewer_alert TO jolda_app;

-- A policy takes no parameters: the one rule that goes by the database's clock, beside the job's own.
CREATE FUNCTION reads_kept_since() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN now() - interval '365 days';

-- The application that serves requests still cannot remove a read. The job runner can, and only
-- what is a year old by the database's own clock and closed into the ledger, whatever the job
-- believes the time to be. It does not see who looked.
CREATE INDEX location_read_by_set ON location_read (company_id, set_hash);

GRANT SELECT (company_id, bucket_at, set_hash), DELETE ON location_read TO jolda_jobs;
CREATE POLICY kept ON location_read FOR SELECT TO jolda_jobs
    USING (company_id = current_company());
CREATE POLICY kept_a_year ON location_read FOR DELETE TO jolda_jobs
    USING (company_id = current_company() AND bucket_at < reads_kept_since());

GRANT SELECT (company_id, bucket_at, ledger_index), DELETE ON location_read_bucket TO jolda_jobs;
CREATE POLICY kept ON location_read_bucket FOR SELECT TO jolda_jobs
    USING (company_id = current_company());
CREATE POLICY kept_a_year ON location_read_bucket FOR DELETE TO jolda_jobs
    USING (company_id = current_company() AND bucket_at < reads_kept_since()
           AND ledger_index IS NOT NULL);

-- A set is only removed once no read names it: the foreign key sees to that.
GRANT SELECT (company_id, set_hash), DELETE ON location_read_set TO jolda_jobs;
CREATE POLICY kept ON location_read_set TO jolda_jobs USING (company_id = current_company());

GRANT SELECT (company_id, raised_at), DELETE ON viewer_alert TO jolda_jobs;
CREATE POLICY kept_a_year ON viewer_alert TO jolda_jobs
    USING (company_id = current_company() AND raised_at < reads_kept_since());
