-- The staff's second factor: the secret that an authenticator app shares, recovery codes, and
-- whether a company's staff must have one. No company that is there asks for it.
-- Locks: company, for as long as adding a column with a constant default takes: its rows are not
-- rewritten; member, briefly, for foreign keys. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE company ADD COLUMN staff_second_factor boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN company.staff_second_factor IS
    'class=plain form=clear retention=company -- Dispatchers and main users without a confirmed '
    'second factor can only set one up.';

CREATE TABLE second_factor (
    company_id    uuid        NOT NULL,
    member_id     uuid        NOT NULL,
    secret_sealed bytea       NOT NULL,
    begun_at      timestamptz NOT NULL,
    confirmed_at  timestamptz,
    last_step     bigint,
    failures      smallint    NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failed_at     timestamptz,
    PRIMARY KEY (company_id, member_id),
    CHECK ((confirmed_at IS NULL) = (last_step IS NULL))
);
COMMENT ON TABLE second_factor IS
    'What a log-in of a member of staff needs beside the password (RFC 6238), once it is confirmed.';

CREATE TABLE recovery_code (
    company_id uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    code_hash  bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id, code_hash)
);
COMMENT ON TABLE recovery_code IS
    'Stands in for one code of the authenticator app; gone once used. Only the SHA-256 of its 120 '
    'random bits is stored.';

ALTER TABLE second_factor ADD CONSTRAINT second_factor_member FOREIGN KEY (company_id, member_id)
    REFERENCES member (company_id, member_id);
ALTER TABLE recovery_code ADD CONSTRAINT recovery_code_member FOREIGN KEY (company_id, member_id)
    REFERENCES member (company_id, member_id);

ALTER TABLE second_factor ENABLE ROW LEVEL SECURITY;
ALTER TABLE second_factor FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON second_factor TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE, DELETE ON second_factor TO jolda_app;

ALTER TABLE recovery_code ENABLE ROW LEVEL SECURITY;
ALTER TABLE recovery_code FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON recovery_code TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, DELETE ON recovery_code TO jolda_app;

DO $$
DECLARE
    mapped record;
    attribute text;
BEGIN
    FOR mapped IN SELECT * FROM (VALUES
        ('second_factor', 'company_id', 'class=plain form=clear retention=erasure'),
        ('second_factor', 'member_id begun_at confirmed_at',
         'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_second_factor'),
        ('second_factor', 'secret_sealed',
         'class=personal/identity form=sealed retention=erasure eraser=erase_account exporter=none:secret'),
        ('second_factor', 'last_step failures failed_at',
         'class=personal/account form=clear retention=erasure eraser=erase_account exporter=none:internal'),
        ('recovery_code', 'company_id', 'class=plain form=clear retention=erasure'),
        ('recovery_code', 'member_id created_at',
         'class=personal/account form=clear retention=erasure eraser=erase_account exporter=none:internal'),
        ('recovery_code', 'code_hash',
         'class=personal/account form=hashed retention=erasure eraser=erase_account exporter=none:secret')
    ) AS m (relation, columns, words) LOOP
        FOREACH attribute IN ARRAY string_to_array(mapped.columns, ' ') LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', mapped.relation, attribute, mapped.words);
        END LOOP;
    END LOOP;
END
$$;
