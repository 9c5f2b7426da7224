-- Planned journeys. Places, names and geometry are sealed under the company's own plan key:
-- a plan goes on without the driver, a dump tells nobody where it leads.
-- The name is sealed apart: lists never open plans.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE route (
    company_id   uuid        NOT NULL,
    route_id     uuid        NOT NULL,
    date         date        NOT NULL,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    driver_id    uuid,
    vehicle_id   uuid,
    plan_version integer     NOT NULL CHECK (plan_version >= 1),
    stop_count   integer     NOT NULL CHECK (stop_count >= 1),
    planned_m    double precision NOT NULL CHECK (planned_m >= 0),
    name_sealed  bytea       NOT NULL,
    plan_sealed  bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (company_id, route_id),
    CHECK (ends_at >= starts_at)
);
CREATE INDEX route_of_day ON route (company_id, date, route_id);
CREATE INDEX route_under_way ON route (company_id, ends_at);
CREATE INDEX route_of_driver ON route (company_id, driver_id, starts_at) WHERE driver_id IS NOT NULL;
COMMENT ON TABLE route IS
    'The plan of one driver''s day. driver_id is NULL when unassigned or the driver was erased. '
    'starts_at and ends_at are planned.';

ALTER TABLE route ENABLE ROW LEVEL SECURITY;
ALTER TABLE route FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON route TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE, DELETE ON route TO jolda_app;
