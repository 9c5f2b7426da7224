-- Final reports of routes, and for how many days a company keeps them.
-- Locks: company, for as long as reading its rows takes. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

-- Companies that are there keep no report: that is what their drivers were shown and agreed to.
-- The texts of new ones name the time.
ALTER TABLE company ADD COLUMN report_days smallint CHECK (report_days BETWEEN 1 AND 365);
ALTER TABLE company ALTER COLUMN report_days SET DEFAULT 365;
COMMENT ON COLUMN company.report_days IS
    'Final reports are kept so many times 24 hours after the planned end of their route. NULL: none '
    'is kept, each is computed when it is asked for.';

ALTER TABLE company ADD COLUMN speed_limit_kmh smallint CHECK (speed_limit_kmh BETWEEN 10 AND 200);
COMMENT ON COLUMN company.speed_limit_kmh IS
    'Above that a report names where and how fast. NULL: speeds are not judged.';

CREATE TABLE plan_fact_report (
    company_id        uuid        NOT NULL,
    route_id          uuid        NOT NULL,
    driver_id         uuid        NOT NULL,
    tried_at          timestamptz NOT NULL,
    tried_version     integer     NOT NULL CHECK (tried_version >= 1),
    computed_at       timestamptz,
    plan_version      integer     CHECK (plan_version >= 1),
    algorithm_version text        CHECK (algorithm_version <> ''),
    since             timestamptz,
    sealed            bytea,
    sums_sealed       bytea,
    PRIMARY KEY (company_id, route_id),
    CHECK (num_nulls(computed_at, plan_version, algorithm_version, since, sealed, sums_sealed)
           IN (0, 6))
);
ALTER TABLE plan_fact_report ALTER COLUMN sealed SET STORAGE EXTERNAL;
COMMENT ON TABLE plan_fact_report IS
    'Plan versus fact of a route that is over, under its driver''s own key. Nothing in it was '
    'recorded before since. sums_sealed is what summaries add up. Without a report there was '
    'nothing to tell when it was tried, of the plan''s version tried_version.';
ALTER TABLE plan_fact_report ADD CONSTRAINT plan_fact_report_route
    FOREIGN KEY (company_id, route_id) REFERENCES route (company_id, route_id);
CREATE INDEX plan_fact_report_of_driver ON plan_fact_report (company_id, driver_id);

ALTER TABLE plan_fact_report ENABLE ROW LEVEL SECURITY;
ALTER TABLE plan_fact_report FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON plan_fact_report TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE, DELETE ON plan_fact_report TO jolda_app;
