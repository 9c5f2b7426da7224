-- The gate (may positions be stored now?), recording windows, consent records, shifts.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE gate (
    company_id        uuid        NOT NULL,
    driver_id         uuid        NOT NULL,
    account_active    boolean     NOT NULL,
    location_since    timestamptz,
    dispatch_since    timestamptz,
    plan_fact_since   timestamptz,
    epoch             bigint      NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    rev               bigint      NOT NULL DEFAULT 0 CHECK (rev >= 0),
    credential_epoch  bigint      NOT NULL DEFAULT 0 CHECK (credential_epoch >= 0),
    key_epoch         bigint      NOT NULL DEFAULT 0 CHECK (key_epoch >= 0),
    -- A role without UPDATE on any column may not lock the row; this one means nothing.
    lock_only         boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (company_id, driver_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE gate IS
    'One row per driver, locked FOR SHARE by the statement that stores positions. …_since is when '
    'the present consent was given, NULL when it is not. epoch counts changes of consent, rev of '
    'windows, credential_epoch of devices, key_epoch of keys.';

CREATE TABLE gate_closing (
    company_id  uuid        NOT NULL,
    driver_id   uuid        NOT NULL,
    closing_id  uuid        NOT NULL,
    started_at  timestamptz NOT NULL,
    PRIMARY KEY (company_id, driver_id, closing_id)
);
COMMENT ON TABLE gate_closing IS
    'A negative act is under way: committed before the gate is locked, so that uploads stop '
    'overtaking the waiting UPDATE. Deleted by the act''s own transaction.';

CREATE TABLE recording_window (
    company_id uuid        NOT NULL,
    driver_id  uuid        NOT NULL,
    window_id  uuid        NOT NULL,
    opened_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    closed_at  timestamptz,
    PRIMARY KEY (company_id, driver_id, window_id),
    CHECK (expires_at > opened_at),
    CHECK (closed_at >= opened_at)
);
CREATE UNIQUE INDEX recording_window_one_open ON recording_window (company_id, driver_id)
    WHERE closed_at IS NULL;
COMMENT ON TABLE recording_window IS
    'When positions may be recorded: on shift and not paused. A window that nobody closed ends at '
    'expires_at all the same.';

CREATE TABLE shift (
    company_id uuid        NOT NULL,
    driver_id  uuid        NOT NULL,
    shift_id   uuid        NOT NULL,
    started_at timestamptz NOT NULL,
    ends_by    timestamptz NOT NULL,
    paused_at  timestamptz,
    ended_at   timestamptz,
    ended_by   text        CHECK (ended_by IN ('driver', 'dispatcher', 'main_user', 'forgotten',
                                               'withdrawal', 'block', 'erasure')),
    PRIMARY KEY (company_id, driver_id, shift_id),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE UNIQUE INDEX shift_one_open ON shift (company_id, driver_id) WHERE ended_at IS NULL;
CREATE INDEX shift_not_over ON shift (company_id, ends_by);
COMMENT ON TABLE shift IS 'From the driver''s start to the end. paused_at is set while paused.';

CREATE TABLE consent_record (
    company_id  uuid        NOT NULL,
    driver_id   uuid        NOT NULL,
    item        text        NOT NULL CHECK (item IN ('location', 'dispatch_tracking', 'plan_fact')),
    version     integer     NOT NULL CHECK (version >= 1),
    record_id   uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('given', 'declined', 'withdrawn')),
    actor       text        NOT NULL CHECK (actor IN ('driver', 'erasure')),
    epoch       bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, driver_id, item, version)
);
COMMENT ON TABLE consent_record IS
    'Every consent decision ever made; the highest version of an item is in force. Never updated.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['gate', 'gate_closing', 'recording_window', 'shift',
                                'consent_record'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO jolda_app', name);
    END LOOP;
END
$$;
GRANT UPDATE ON gate, recording_window, shift TO jolda_app;

-- The committer stores uploads of many companies in one statement. FOR SHARE needs a policy for
-- UPDATE as well as for SELECT: with SELECT alone it silently locks nothing.
CREATE POLICY committer_reads ON gate FOR SELECT TO jolda_committer USING (true);
CREATE POLICY committer_locks ON gate FOR UPDATE TO jolda_committer USING (true) WITH CHECK (false);
GRANT SELECT ON gate TO jolda_committer;
GRANT UPDATE (lock_only) ON gate TO jolda_committer;
CREATE POLICY committer_reads ON gate_closing FOR SELECT TO jolda_committer USING (true);
GRANT SELECT ON gate_closing TO jolda_committer;
