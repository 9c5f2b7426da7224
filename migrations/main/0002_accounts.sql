-- Companies, members, and everything a caller can prove who they are with.
-- Sealed columns (…_sealed) hold AES-256-GCM text under keys of the `keys` database.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE company (
    company_id      uuid        NOT NULL,
    name            text        NOT NULL CHECK (name <> ''),
    time_zone       text        NOT NULL CHECK (time_zone <> ''),
    buffer_max_s    integer     NOT NULL DEFAULT 259200 CHECK (buffer_max_s BETWEEN 60 AND 2592000),
    shift_max_s     integer     NOT NULL DEFAULT 50400 CHECK (shift_max_s BETWEEN 3600 AND 86400),
    erasure_grace_s integer     NOT NULL DEFAULT 604800 CHECK (erasure_grace_s BETWEEN 0 AND 2592000),
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (company_id)
);
COMMENT ON TABLE company IS 'A tenant. Its name is a legal person''s and plain.';

CREATE TABLE member (
    company_id      uuid        NOT NULL,
    member_id       uuid        NOT NULL,
    role            text        NOT NULL CHECK (role IN ('main_user', 'dispatcher', 'driver')),
    state           text        NOT NULL CHECK (state IN
                        ('invited', 'active', 'blocked', 'offboarded', 'grace', 'erasing')),
    locale          text        NOT NULL CHECK (locale IN ('ru', 'kk', 'en')),
    name_sealed     bytea       NOT NULL,
    phone_sealed    bytea,
    email_sealed    bytea,
    phone_hash      bytea,
    email_hash      bytea,
    password_hash   text,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id),
    UNIQUE (company_id, phone_hash),
    UNIQUE (company_id, email_hash)
);
COMMENT ON TABLE member IS 'A person in one company. An erased member has no row.';

CREATE TABLE login_directory (
    login_hash bytea NOT NULL,
    company_id uuid  NOT NULL,
    PRIMARY KEY (login_hash, company_id)
);
COMMENT ON TABLE login_directory IS
    'The only table across companies: blind index of a phone or e-mail -> companies that know it.';

CREATE TABLE invitation (
    company_id  uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    code_hash   bytea       NOT NULL,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id)
);
COMMENT ON TABLE invitation IS 'The one open invitation of a member; gone once accepted.';

CREATE TABLE session (
    company_id uuid        NOT NULL,
    token_hash bytea       NOT NULL,
    member_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, token_hash)
);
CREATE INDEX session_of_member ON session (company_id, member_id);
COMMENT ON TABLE session IS 'A log-in. The token itself is never stored, only its SHA-256.';

CREATE TABLE device (
    company_id  uuid        NOT NULL,
    device_id   uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    number      smallint    NOT NULL CHECK (number BETWEEN 0 AND 255),
    name_sealed bytea       NOT NULL,
    token_hash  bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    PRIMARY KEY (company_id, device_id),
    UNIQUE (company_id, member_id, number),
    UNIQUE (company_id, token_hash)
);
COMMENT ON TABLE device IS 'One installed phone app. Its number stands inside the sealed positions.';

CREATE TABLE api_token (
    company_id   uuid        NOT NULL,
    api_token_id uuid        NOT NULL,
    name         text        NOT NULL CHECK (name <> ''),
    scopes       text[]      NOT NULL CHECK (cardinality(scopes) > 0),
    token_hash   bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    PRIMARY KEY (company_id, api_token_id),
    UNIQUE (company_id, token_hash)
);
COMMENT ON TABLE api_token IS 'A key for an integration, with scopes. Of a company, not a person.';

CREATE TABLE vehicle (
    company_id uuid        NOT NULL,
    vehicle_id uuid        NOT NULL,
    name       text        NOT NULL CHECK (name <> ''),
    plate      text        NOT NULL CHECK (plate <> ''),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, vehicle_id),
    UNIQUE (company_id, plate)
);
COMMENT ON TABLE vehicle IS 'The company''s vehicle. Goes on after a driver was erased.';

ALTER TABLE invitation ADD CONSTRAINT invitation_member FOREIGN KEY (company_id, member_id)
    REFERENCES member (company_id, member_id);
ALTER TABLE session ADD CONSTRAINT session_member FOREIGN KEY (company_id, member_id)
    REFERENCES member (company_id, member_id);
ALTER TABLE device ADD CONSTRAINT device_member FOREIGN KEY (company_id, member_id)
    REFERENCES member (company_id, member_id);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['company', 'member', 'invitation', 'session', 'device',
                                'api_token', 'vehicle'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO jolda_app', name);
    END LOOP;
END
$$;
REVOKE DELETE ON company FROM jolda_app;

-- Looked up before any company is known; written and deleted only for one's own.
ALTER TABLE login_directory ENABLE ROW LEVEL SECURITY;
ALTER TABLE login_directory FORCE ROW LEVEL SECURITY;
CREATE POLICY looked_up ON login_directory FOR SELECT TO jolda_app USING (true);
CREATE POLICY added ON login_directory FOR INSERT TO jolda_app
    WITH CHECK (company_id = current_company());
CREATE POLICY removed ON login_directory FOR DELETE TO jolda_app
    USING (company_id = current_company());
GRANT SELECT, INSERT, DELETE ON login_directory TO jolda_app;

-- The job runner has to know which companies there are, and nothing else about them.
CREATE POLICY every_company ON company FOR SELECT TO jolda_jobs USING (true);
GRANT SELECT (company_id) ON company TO jolda_jobs;
