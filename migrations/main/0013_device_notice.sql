-- The notice that each device's user acknowledged, the phone's permission switch; what an
-- administrator attested of a driver, the driver's dispute of it, and what was set apart by it.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE device_notice (
    company_id      uuid        NOT NULL,
    device_id       uuid        NOT NULL,
    edition         integer     NOT NULL CHECK (edition >= 1),
    member_id       uuid        NOT NULL,
    language        text        NOT NULL CHECK (language IN ('ru', 'kk', 'en')),
    sha256          text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    acknowledged_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, device_id, edition)
);
CREATE INDEX device_notice_of_member ON device_notice (company_id, member_id);
COMMENT ON TABLE device_notice IS
    'Which editions of the device notice the device''s user acknowledged on it. A device belongs to '
    'one member: handed over, it is another device. Never updated.';

CREATE TABLE device_permission (
    company_id uuid        NOT NULL,
    device_id  uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('granted', 'denied')),
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, device_id)
);
CREATE INDEX device_permission_of_member ON device_permission (company_id, member_id);
COMMENT ON TABLE device_permission IS
    'What the phone''s own switch for the location says, as its app told last. Overwritten in place.';

CREATE TABLE attestation (
    company_id  uuid        NOT NULL,
    driver_id   uuid        NOT NULL,
    attested_by uuid        NOT NULL,
    how         text        NOT NULL CHECK (how IN ('in_person', 'by_phone', 'in_writing', 'by_message')),
    told_at     timestamptz NOT NULL,
    attested_at timestamptz NOT NULL,
    documents   text[]      NOT NULL,
    editions    integer[]   NOT NULL,
    PRIMARY KEY (company_id, driver_id),
    CHECK (told_at <= attested_at),
    CHECK (cardinality(documents) >= 1 AND cardinality(documents) = cardinality(editions)),
    CHECK (documents <@ ARRAY['privacy_notice', 'driver_notice', 'device_notice'])
);
COMMENT ON TABLE attestation IS
    'A member of staff says that the driver they registered was told: when, how, and of which '
    'editions. It gives no consent and opens no gate. Never updated.';

CREATE TABLE attestation_dispute (
    company_id  uuid        NOT NULL,
    driver_id   uuid        NOT NULL,
    disputed_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, driver_id)
);
ALTER TABLE attestation_dispute ADD CONSTRAINT attestation_dispute_of
    FOREIGN KEY (company_id, driver_id) REFERENCES attestation (company_id, driver_id);
COMMENT ON TABLE attestation_dispute IS
    'The driver says that they were not told so. Final: nobody takes it back.';

CREATE TABLE set_apart (
    company_id   uuid        NOT NULL,
    driver_id    uuid        NOT NULL,
    before       timestamptz NOT NULL,
    positions    bigint      NOT NULL CHECK (positions >= 0),
    PRIMARY KEY (company_id, driver_id, before)
);
COMMENT ON TABLE set_apart IS
    'What was recorded before this time was collected wrongly: the company never sees it again, '
    'whatever is consented to later. positions is how many there were. Never updated.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['device_notice', 'device_permission', 'attestation',
                                'attestation_dispute', 'set_apart'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO jolda_app', name);
    END LOOP;
END
$$;
GRANT UPDATE ON device_permission TO jolda_app;
