-- The birth year that was stated of a driver, and who consented beside a driver who may be a minor.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE birth_year (
    company_id   uuid        NOT NULL,
    driver_id    uuid        NOT NULL,
    statement_id uuid        NOT NULL,
    year_sealed  bytea       NOT NULL,
    stated_by    uuid        NOT NULL,
    stated_at    timestamptz NOT NULL,
    disputed_at  timestamptz,
    PRIMARY KEY (company_id, driver_id)
);
COMMENT ON TABLE birth_year IS
    'In which year a driver was born, as a member of staff stated it; nobody verified it, and a date '
    'of birth is never kept. year_sealed is personal/identity. Stated again it is another statement.';

CREATE TABLE guardian_consent (
    company_id      uuid        NOT NULL,
    guardian_id     uuid        NOT NULL,
    driver_id       uuid        NOT NULL,
    name_sealed     bytea       NOT NULL,
    relation        text        NOT NULL
                    CHECK (relation IN ('parent', 'adoptive_parent', 'guardian', 'trustee')),
    how             text        NOT NULL
                    CHECK (how IN ('in_person', 'by_phone', 'in_writing', 'by_message')),
    told_at         timestamptz NOT NULL,
    document_sealed bytea,
    recorded_by     uuid        NOT NULL,
    recorded_at     timestamptz NOT NULL,
    revoked_at      timestamptz,
    revoked_by      uuid,
    PRIMARY KEY (company_id, guardian_id),
    CHECK (told_at <= recorded_at),
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
-- At most one is in force.
CREATE UNIQUE INDEX guardian_consent_in_force ON guardian_consent (company_id, driver_id)
    WHERE revoked_at IS NULL;
CREATE INDEX guardian_consent_of_driver ON guardian_consent (company_id, driver_id);
COMMENT ON TABLE guardian_consent IS
    'A member of staff says that a minor''s guardian agreed. It gives no consent and opens no gate; '
    'without one in force the minor cannot give theirs. name_sealed and document_sealed are sealed '
    'under the driver''s identity key. Only its end is ever written to it.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['birth_year', 'guardian_consent'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO jolda_app', name);
    END LOOP;
END
$$;
GRANT UPDATE (statement_id, year_sealed, stated_by, stated_at, disputed_at) ON birth_year TO jolda_app;
GRANT UPDATE (revoked_at, revoked_by) ON guardian_consent TO jolda_app;
