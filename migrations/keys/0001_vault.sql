-- The key database: nothing here opens anything without the KEK, and nothing in `main` opens
-- without what is here. Company key -> data keys per (subject, category, period).
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

DO $$
BEGIN
    BEGIN
        CREATE ROLE jolda_keys NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;
    GRANT jolda_keys TO CURRENT_USER;
    GRANT USAGE ON SCHEMA public TO jolda_keys;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

CREATE FUNCTION current_company() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('app.company_id', true), '')::uuid;

CREATE TABLE pepper (
    pepper_id  uuid        NOT NULL,
    kek_id     bytea       NOT NULL,
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (pepper_id)
);
COMMENT ON TABLE pepper IS 'The secret of the log-in blind index, for all companies.';

CREATE TABLE company_key (
    company_id uuid        NOT NULL,
    kek_id     bytea       NOT NULL,
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (company_id)
);
COMMENT ON TABLE company_key IS 'One key per company, wrapped by the KEK named by kek_id.';

CREATE TABLE subject (
    company_id   uuid        NOT NULL,
    subject_id   uuid        NOT NULL,
    destroyed_at timestamptz,
    PRIMARY KEY (company_id, subject_id)
);
COMMENT ON TABLE subject IS
    'Whoever has keys: a member, or the company itself. Once destroyed, no key is ever made again.';

CREATE TABLE data_key (
    company_id uuid        NOT NULL,
    key_id     uuid        NOT NULL,
    subject_id uuid        NOT NULL,
    category   text        NOT NULL CHECK (category IN
                   ('identity', 'contact', 'track', 'report', 'live', 'plan')),
    period     text        NOT NULL,
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, key_id),
    UNIQUE (company_id, subject_id, category, period)
);
COMMENT ON TABLE data_key IS 'The key of one category of one subject (track: by month, live: by day).';

ALTER TABLE subject ADD CONSTRAINT subject_company FOREIGN KEY (company_id)
    REFERENCES company_key (company_id);
ALTER TABLE data_key ADD CONSTRAINT data_key_subject FOREIGN KEY (company_id, subject_id)
    REFERENCES subject (company_id, subject_id);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['company_key', 'subject', 'data_key'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_keys USING (company_id = current_company())', name);
    END LOOP;
END
$$;
GRANT SELECT, INSERT ON pepper, company_key TO jolda_keys;
GRANT SELECT, INSERT, UPDATE ON subject TO jolda_keys;
GRANT SELECT, INSERT, DELETE ON data_key TO jolda_keys;
