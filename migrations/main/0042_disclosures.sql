-- The register of what was given to somebody outside: on which ground, by which document, by whom.
-- When the driver is erased the row stays, as evidence: it is nobody's then.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE disclosure (
    company_id      uuid        NOT NULL,
    disclosure_id   uuid        NOT NULL,
    driver_id       uuid,
    ground          text        NOT NULL CHECK (ground IN ('consent', 'functionality', 'purpose',
                                    'controller_change', 'authority', 'defence_of_rights')),
    state           text        NOT NULL
        CHECK (state IN ('recorded', 'released', 'refused', 'cancelled')),
    categories      text[]      NOT NULL CHECK (cardinality(categories) >= 1),
    since           timestamptz,
    until           timestamptz,
    sealed_until    timestamptz,
    recorded_at     timestamptz NOT NULL,
    recorded_by     uuid,
    decided_at      timestamptz,
    decided_by      uuid,
    told_at         timestamptz,
    evidence_sealed bytea       NOT NULL,
    given_sealed    bytea,
    PRIMARY KEY (company_id, disclosure_id),
    CHECK ((since IS NULL) = (until IS NULL)),
    CHECK (since < until),
    CHECK ((state = 'recorded') = (decided_at IS NULL)),
    CHECK (sealed_until IS NULL OR ground = 'authority'),
    CHECK (sealed_until <= recorded_at + interval '365 days'),
    CHECK (told_at IS NULL OR state = 'released'),
    -- Two persons, whatever the code believes. NULL is a member who was erased since.
    CHECK (state <> 'released' OR ground NOT IN ('authority', 'defence_of_rights')
           OR decided_by <> recorded_by)
);
COMMENT ON TABLE disclosure IS
    'What was given, or is to be given, of one driver to somebody outside. given_sealed is under '
    'the driver''s own key, evidence_sealed under the company''s. driver_id is NULL once the '
    'driver was erased.';
CREATE INDEX disclosure_of_driver ON disclosure (company_id, driver_id, disclosure_id)
    WHERE driver_id IS NOT NULL;
CREATE INDEX disclosure_untold ON disclosure (company_id, sealed_until)
    WHERE state = 'released' AND told_at IS NULL;
CREATE INDEX disclosure_recorded_at ON disclosure (company_id, recorded_at);

CREATE TABLE disclosure_file (
    company_id    uuid        NOT NULL,
    disclosure_id uuid        NOT NULL,
    file_id       uuid        NOT NULL,
    format        text        NOT NULL CHECK (format <> ''),
    positions     integer     NOT NULL CHECK (positions >= 0),
    size_bytes    integer     NOT NULL CHECK (size_bytes >= 0),
    sha256        bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    made_at       timestamptz NOT NULL,
    made_by       uuid,
    PRIMARY KEY (company_id, disclosure_id, file_id)
);
COMMENT ON TABLE disclosure_file IS
    'Each file of positions that was made for a recipient. The file itself is not stored.';
ALTER TABLE disclosure_file ADD CONSTRAINT disclosure_file_of FOREIGN KEY (company_id, disclosure_id)
    REFERENCES disclosure (company_id, disclosure_id);

DO $$
DECLARE
    name text;
    mapped record;
    attribute text;
BEGIN
    FOREACH name IN ARRAY ARRAY['disclosure', 'disclosure_file'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
    END LOOP;
    FOR mapped IN SELECT * FROM (VALUES
        ('disclosure', 'company_id disclosure_id ground state categories since until sealed_until '
         'recorded_at decided_at told_at',
         'class=plain form=clear retention=disclosures'),
        ('disclosure', 'driver_id',
         'class=personal/disclosure form=clear retention=disclosures eraser=erase_disclosures exporter=list_my_disclosures'),
        ('disclosure', 'recorded_by decided_by',
         'class=personal/work form=clear retention=disclosures eraser=erase_disclosures exporter=list_my_disclosures'),
        ('disclosure', 'evidence_sealed',
         'class=personal/contact form=sealed retention=disclosures eraser=none:evidence exporter=list_my_disclosures'),
        ('disclosure', 'given_sealed',
         'class=personal/contact form=sealed retention=disclosures eraser=erase_disclosures exporter=list_my_disclosures'),
        ('disclosure_file', 'company_id disclosure_id file_id format positions size_bytes made_at',
         'class=plain form=clear retention=disclosures'),
        ('disclosure_file', 'sha256', 'class=plain form=hashed retention=disclosures'),
        ('disclosure_file', 'made_by',
         'class=personal/work form=clear retention=disclosures eraser=erase_disclosures exporter=download_export')
    ) AS said (of_table, columns, words) LOOP
        FOREACH attribute IN ARRAY string_to_array(mapped.columns, ' ') LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', mapped.of_table, attribute, mapped.words);
        END LOOP;
    END LOOP;
END
$$;
GRANT SELECT, INSERT, DELETE ON disclosure, disclosure_file TO jolda_app;
-- To whom, why and of which time something was to be given never changes.
GRANT UPDATE (driver_id, state, recorded_by, decided_at, decided_by, told_at, given_sealed)
    ON disclosure TO jolda_app;
GRANT UPDATE (positions, size_bytes, sha256, made_by) ON disclosure_file TO jolda_app;
