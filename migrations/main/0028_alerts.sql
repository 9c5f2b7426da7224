-- Alerts about routes under way: a company's limits, who wants to be told, and what was raised.
-- Locks: route, briefly, for a foreign key. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE alert_limit (
    company_id    uuid        NOT NULL PRIMARY KEY,
    late_min      integer     CHECK (late_min >= 1),
    off_route_m   integer     CHECK (off_route_m >= 50),
    off_route_min integer     CHECK (off_route_min >= 1),
    no_signal_min integer     CHECK (no_signal_min >= 1),
    long_stop_min integer     CHECK (long_stop_min >= 1),
    changed_at    timestamptz NOT NULL,
    CHECK ((off_route_m IS NULL) = (off_route_min IS NULL))
);
COMMENT ON TABLE alert_limit IS
    'When a company is alerted; NULL: not at all. A company without a row has the usual limits.';

CREATE TABLE alert_wish (
    company_id uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    kind       text        NOT NULL
        CHECK (kind IN ('late', 'off_route', 'no_signal', 'long_stop')),
    wanted     boolean     NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id, kind)
);
COMMENT ON TABLE alert_wish IS
    'Whether a member wants notices of alerts of a kind. Without a row: dispatchers do, main users '
    'do not.';

CREATE TABLE alert (
    company_id         uuid        NOT NULL,
    alert_id           uuid        NOT NULL,
    route_id           uuid        NOT NULL,
    driver_id          uuid        NOT NULL,
    kind               text        NOT NULL
        CHECK (kind IN ('late', 'off_route', 'no_signal', 'long_stop')),
    occurrence         integer     NOT NULL CHECK (occurrence >= 1),
    raised_at          timestamptz NOT NULL,
    calm_since         timestamptz,
    cleared_at         timestamptz,
    acknowledged_at    timestamptz,
    acknowledged_by    uuid,
    particulars_sealed bytea       NOT NULL,
    PRIMARY KEY (company_id, alert_id),
    UNIQUE (company_id, route_id, kind, occurrence),
    CHECK (cleared_at >= raised_at),
    CHECK (acknowledged_at IS NOT NULL OR acknowledged_by IS NULL)
);
-- However many processes judge a route at once, one raises.
CREATE UNIQUE INDEX alert_open ON alert (company_id, route_id, kind) WHERE cleared_at IS NULL;
CREATE INDEX alert_of_driver ON alert (company_id, driver_id);
CREATE INDEX alert_by_time ON alert (company_id, raised_at);
COMMENT ON TABLE alert IS
    'Something about a route that its company wanted to be alerted of. What was measured, and on '
    'the way to which stop, is sealed under the driver''s key. calm_since: the cause is over since '
    'then. cleared_at IS NULL: it is open.';

ALTER TABLE alert_limit ENABLE ROW LEVEL SECURITY;
ALTER TABLE alert_limit FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alert_limit TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE ON alert_limit TO jolda_app;

ALTER TABLE alert_wish ENABLE ROW LEVEL SECURITY;
ALTER TABLE alert_wish FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alert_wish TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE, DELETE ON alert_wish TO jolda_app;

ALTER TABLE alert ADD CONSTRAINT alert_route
    FOREIGN KEY (company_id, route_id) REFERENCES route (company_id, route_id);

ALTER TABLE alert ENABLE ROW LEVEL SECURITY;
ALTER TABLE alert FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alert TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, DELETE ON alert TO jolda_app;
-- What was raised, when and about whom never changes.
GRANT UPDATE (calm_since, cleared_at, acknowledged_at, acknowledged_by) ON alert TO jolda_app;
