-- Every key above a person's own is exchanged with each batch of erasures: whoever has an old copy
-- of this database and every key of today opens nothing of whoever was erased.
-- Locks: subject, data_key, company_key, for an instant each. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

DO $$
DECLARE
    log_in regrole;
BEGIN
    BEGIN
        CREATE ROLE jolda_rekeying NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;
    GRANT jolda_rekeying TO CURRENT_USER;
    GRANT USAGE ON SCHEMA public TO jolda_rekeying;
    -- Whoever serves exchanges the keys as well: a log-in of before has only the role of before.
    FOR log_in IN SELECT DISTINCT member FROM pg_auth_members
                   WHERE roleid = 'jolda_keys'::regrole AND member <> current_user::regrole
                     AND NOT pg_has_role(member, 'jolda_rekeying', 'MEMBER') LOOP
        EXECUTE format('GRANT jolda_rekeying TO %s', log_in);
    END LOOP;
END
$$;

CREATE TABLE rekeying (
    rekeying_id  uuid        NOT NULL,
    begun_at     timestamptz NOT NULL,
    exchanged_at timestamptz,
    wrapped_at   timestamptz,
    kek_id       bytea,
    companies    integer,
    keys         integer,
    ended_at     timestamptz,
    PRIMARY KEY (rekeying_id),
    CHECK (exchanged_at >= begun_at),
    CHECK (wrapped_at >= exchanged_at),
    CHECK (ended_at >= wrapped_at),
    CHECK ((wrapped_at IS NULL) = (kek_id IS NULL)
       AND (wrapped_at IS NULL) = (companies IS NULL)
       AND (wrapped_at IS NULL) = (keys IS NULL))
);
CREATE UNIQUE INDEX rekeying_under_way ON rekeying ((true)) WHERE ended_at IS NULL;
COMMENT ON TABLE rekeying IS
    'One exchange of all keys above data keys: when the pepper was exchanged, when everything was wrapped anew, when the last KEK before it was destroyed.';

ALTER TABLE subject ADD COLUMN rekeying_id uuid REFERENCES rekeying (rekeying_id);
COMMENT ON COLUMN subject.rekeying_id IS
    'The first exchange of keys that began after this subject''s were destroyed.';
CREATE INDEX subject_destroyed ON subject (company_id) WHERE destroyed_at IS NOT NULL
    AND rekeying_id IS NULL;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['company_key', 'subject', 'data_key'] LOOP
        EXECUTE format('CREATE POLICY rekeyed ON %I TO jolda_rekeying USING (true)', name);
    END LOOP;
END
$$;
GRANT SELECT ON rekeying TO jolda_keys;
GRANT SELECT, INSERT, UPDATE (exchanged_at, wrapped_at, kek_id, companies, keys, ended_at)
    ON rekeying TO jolda_rekeying;
GRANT SELECT, UPDATE (kek_id, wrapped) ON company_key, signing_key TO jolda_rekeying;
GRANT SELECT, INSERT, UPDATE (kek_id, wrapped), DELETE ON pepper TO jolda_rekeying;
GRANT SELECT, UPDATE (wrapped) ON data_key TO jolda_rekeying;
GRANT SELECT, UPDATE (rekeying_id) ON subject TO jolda_rekeying;
GRANT SELECT ON alembic_version TO jolda_rekeying;
