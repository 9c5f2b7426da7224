-- Changes of the controller: another company takes a company's drivers and their data over. Told
-- 30 days ahead; who agreed goes on, and whoever did not is asked anew.
-- Locks: consent_record, for a column without a default (the new check is not held against old
-- rows). Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE controller_change (
    company_id      uuid        NOT NULL,
    change_id       uuid        NOT NULL,
    name            text        NOT NULL CHECK (name <> ''),
    bin             text        NOT NULL CHECK (bin ~ '^[0-9]{12}$'),
    privacy_contact text        NOT NULL CHECK (privacy_contact <> ''),
    noticed_at      timestamptz NOT NULL,
    effective_at    timestamptz NOT NULL,
    cancelled_at    timestamptz,
    applied_at      timestamptz,
    completed_at    timestamptz,
    PRIMARY KEY (company_id, change_id),
    UNIQUE (company_id, change_id, effective_at),  -- what agreements and moves point to
    CHECK (cancelled_at < effective_at),
    CHECK (cancelled_at IS NULL OR applied_at IS NULL),
    CHECK (completed_at IS NULL OR (completed_at >= applied_at) IS TRUE)
);
-- 720 hours and not '30 days', as for the editions of policies.
ALTER TABLE controller_change ADD CONSTRAINT controller_change_notice_period
    CHECK (effective_at >= noticed_at + interval '720 hours');
ALTER TABLE controller_change ADD CONSTRAINT controller_change_not_early
    CHECK (applied_at >= effective_at);
-- One at a time; also the race guard: see store.insert_change.
CREATE UNIQUE INDEX controller_change_open ON controller_change (company_id)
    WHERE cancelled_at IS NULL AND completed_at IS NULL;
COMMENT ON TABLE controller_change IS
    'Another company becomes the controller. applied_at is when the company''s particulars '
    'changed, completed_at when every driver''s consents had been moved or had ended. Who it is '
    'and when are never updated.';

CREATE TABLE controller_told (
    company_id uuid        NOT NULL,
    change_id  uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    notice_id  uuid        NOT NULL,
    told_at    timestamptz NOT NULL,
    PRIMARY KEY (company_id, change_id, member_id)
);
COMMENT ON TABLE controller_told IS
    'Whom a notice of the change was queued for; what became of it stands with the notice.';

CREATE TABLE controller_agreement (
    company_id   uuid        NOT NULL,
    change_id    uuid        NOT NULL,
    driver_id    uuid        NOT NULL,
    effective_at timestamptz NOT NULL,
    agreed_at    timestamptz NOT NULL,
    PRIMARY KEY (company_id, change_id, driver_id),
    CHECK (agreed_at < effective_at)
);
COMMENT ON TABLE controller_agreement IS
    'A driver agreed that their consents go on under the new controller. Never updated.';

CREATE TABLE controller_move (
    company_id   uuid        NOT NULL,
    change_id    uuid        NOT NULL,
    driver_id    uuid        NOT NULL,
    effective_at timestamptz NOT NULL,
    kept         text[]      NOT NULL,
    lapsed       text[]      NOT NULL,
    moved_at     timestamptz NOT NULL,
    PRIMARY KEY (company_id, change_id, driver_id)
);
-- The time is the change's own by the foreign key below: no driver is moved before it.
ALTER TABLE controller_move ADD CONSTRAINT controller_move_not_early
    CHECK (moved_at >= effective_at);
COMMENT ON TABLE controller_move IS
    'A driver''s consents were moved, in the same transaction: once per change and driver.';

ALTER TABLE controller_told ADD CONSTRAINT controller_told_change
    FOREIGN KEY (company_id, change_id)
    REFERENCES controller_change (company_id, change_id);
ALTER TABLE controller_agreement ADD CONSTRAINT controller_agreement_change
    FOREIGN KEY (company_id, change_id, effective_at)
    REFERENCES controller_change (company_id, change_id, effective_at);
ALTER TABLE controller_move ADD CONSTRAINT controller_move_change
    FOREIGN KEY (company_id, change_id, effective_at)
    REFERENCES controller_change (company_id, change_id, effective_at);
CREATE INDEX controller_told_member ON controller_told (company_id, member_id);
CREATE INDEX controller_agreement_driver ON controller_agreement (company_id, driver_id);
CREATE INDEX controller_move_driver ON controller_move (company_id, driver_id);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['controller_change', 'controller_told', 'controller_agreement',
                                'controller_move'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO jolda_app', name);
    END LOOP;
END
$$;
-- What was announced never changes; it is cancelled, or takes effect.
GRANT UPDATE (cancelled_at, applied_at, completed_at) ON controller_change TO jolda_app;
GRANT DELETE ON controller_told, controller_agreement, controller_move TO jolda_app;

-- A consent that goes on under another controller is written down anew, and holds since it was
-- given: nothing of the past is lost by it, and nothing is opened.
ALTER TABLE consent_record ADD COLUMN held_since timestamptz;
ALTER TABLE consent_record ADD CONSTRAINT consent_record_held CHECK (
    held_since IS NULL OR (state = 'given' AND held_since <= recorded_at)) NOT VALID;
COMMENT ON COLUMN consent_record.held_since IS
    'Since when a consent that goes on under another controller is given; NULL: since recorded_at.';
