-- Plans that are changed: every version is kept, sealed. Routes that are cancelled, stops that the
-- driver spoke of, and imports of many routes at once.
-- Locks: route, briefly, for columns and a foreign key. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE route
    ADD COLUMN planned_at    timestamptz,
    ADD COLUMN cancelled_at  timestamptz,
    ADD COLUMN settled_stops uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN import_id     uuid;
COMMENT ON COLUMN route.planned_at IS
    'When the plan became what it is; NULL: when the route was made.';
COMMENT ON COLUMN route.cancelled_at IS 'From then on it is not to be driven.';
COMMENT ON COLUMN route.settled_stops IS
    'Ids of stops that its driver said something of: they stay in the plan as they are.';
CREATE INDEX route_of_import ON route (company_id, import_id) WHERE import_id IS NOT NULL;

CREATE TABLE route_version (
    company_id   uuid        NOT NULL,
    route_id     uuid        NOT NULL,
    plan_version integer     NOT NULL CHECK (plan_version >= 1),
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    stop_count   integer     NOT NULL CHECK (stop_count >= 1),
    planned_m    double precision NOT NULL CHECK (planned_m >= 0),
    name_sealed  bytea       NOT NULL,
    plan_sealed  bytea       NOT NULL,
    planned_at   timestamptz NOT NULL,
    replaced_at  timestamptz NOT NULL,
    PRIMARY KEY (company_id, route_id, plan_version),
    CHECK (ends_at >= starts_at)
);
COMMENT ON TABLE route_version IS
    'A plan as it was before it was changed; the one in force is in route. Never changed itself.';
ALTER TABLE route_version ADD CONSTRAINT route_version_route
    FOREIGN KEY (company_id, route_id) REFERENCES route (company_id, route_id);

CREATE TABLE route_import (
    company_id  uuid        NOT NULL,
    import_id   uuid        NOT NULL,
    digest      bytea       NOT NULL CHECK (octet_length(digest) = 32),
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, import_id)
);
COMMENT ON TABLE route_import IS
    'That an import was carried out, and the SHA-256 of what was sent: again is the same as once.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['route_version', 'route_import'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())',
                       name);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, DELETE ON route_version TO jolda_app;
GRANT SELECT, INSERT ON route_import TO jolda_app;
