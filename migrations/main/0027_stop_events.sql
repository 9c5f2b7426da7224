-- What drivers say of the stops of their routes: statuses and comments.
-- Locks: route, briefly, for a foreign key. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE stop_event (
    company_id    uuid        NOT NULL,
    stop_event_id uuid        NOT NULL,
    driver_id     uuid        NOT NULL,
    event_id      uuid        NOT NULL,
    route_id      uuid        NOT NULL,
    stop_id       uuid        NOT NULL,
    received_at   timestamptz NOT NULL,
    event_sealed  bytea       NOT NULL,
    PRIMARY KEY (company_id, stop_event_id),
    UNIQUE (company_id, driver_id, event_id)  -- sent again it is the same, also at the same moment
);
CREATE INDEX stop_event_of_route ON stop_event (company_id, route_id, stop_event_id);
CREATE INDEX stop_event_by_time ON stop_event (company_id, received_at);
COMMENT ON TABLE stop_event IS
    'What a driver said of a stop. event_id is the phone''s. Its kind, its time by the phone''s '
    'clock and its words are sealed under the driver''s key.';

ALTER TABLE stop_event ADD CONSTRAINT stop_event_route
    FOREIGN KEY (company_id, route_id) REFERENCES route (company_id, route_id);

ALTER TABLE stop_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE stop_event FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON stop_event TO jolda_app USING (company_id = current_company());
-- What was said never changes.
GRANT SELECT, INSERT, DELETE ON stop_event TO jolda_app;
