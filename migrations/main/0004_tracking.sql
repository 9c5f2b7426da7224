-- Sealed positions: one row per upload. No coordinate, speed or heading is ever a column.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE chunk (
    company_id uuid        NOT NULL,
    driver_id  uuid        NOT NULL,
    last_at    timestamptz NOT NULL,
    upload_id  uuid        NOT NULL,
    first_at   timestamptz NOT NULL,
    stored_at  timestamptz NOT NULL,
    count      integer     NOT NULL CHECK (count > 0),
    key_id     uuid        NOT NULL,
    blob       bytea       NOT NULL,
    -- last_at before upload_id: this one index also serves reading by time
    PRIMARY KEY (company_id, driver_id, last_at, upload_id),
    CHECK (last_at >= first_at)
);
ALTER TABLE chunk ALTER COLUMN blob SET STORAGE EXTERNAL;
COMMENT ON TABLE chunk IS
    'The sealed bytes of one upload''s positions. upload_id is bound to the content.';

CREATE TABLE latest_position (
    company_id  uuid        NOT NULL,
    driver_id   uuid        NOT NULL,
    recorded_at timestamptz NOT NULL,
    stored_at   timestamptz NOT NULL,
    key_id      uuid        NOT NULL,
    blob        bytea       NOT NULL,
    PRIMARY KEY (company_id, driver_id)
) WITH (fillfactor = 50);
ALTER TABLE latest_position ALTER COLUMN blob SET STORAGE EXTERNAL;
COMMENT ON TABLE latest_position IS
    'Of a driver who gave dispatch_tracking but not plan_fact: the newest position, overwritten in '
    'place, sealed under a key of the day, gone 15 minutes after the fix.';

CREATE TABLE refusal_count (
    company_id uuid    NOT NULL,
    driver_id  uuid    NOT NULL,
    day        date    NOT NULL,
    reason     text    NOT NULL CHECK (reason <> ''),
    count      bigint  NOT NULL CHECK (count > 0),
    PRIMARY KEY (company_id, driver_id, day, reason)
);
COMMENT ON TABLE refusal_count IS 'How many positions were refused and why. Nothing else of them is kept.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['chunk', 'latest_position', 'refusal_count'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
    END LOOP;
END
$$;
-- Only the committer stores positions, and only through the statement that locks the gate.
GRANT SELECT, DELETE ON chunk, latest_position TO jolda_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON refusal_count TO jolda_app;
CREATE POLICY committer_stores ON chunk FOR INSERT TO jolda_committer WITH CHECK (true);
GRANT INSERT ON chunk TO jolda_committer;
-- RETURNING and ON CONFLICT read what they compare: the key columns, never the blob.
CREATE POLICY committer_compares ON chunk FOR SELECT TO jolda_committer USING (true);
GRANT SELECT (company_id, driver_id, last_at, upload_id) ON chunk TO jolda_committer;
CREATE POLICY committer_stores ON latest_position FOR INSERT TO jolda_committer WITH CHECK (true);
CREATE POLICY committer_replaces ON latest_position FOR UPDATE TO jolda_committer
    USING (true) WITH CHECK (true);
CREATE POLICY committer_compares ON latest_position FOR SELECT TO jolda_committer USING (true);
-- Replacing in place names the new row's columns, which PostgreSQL counts as reading them.
GRANT SELECT, INSERT, UPDATE ON latest_position TO jolda_committer;
