-- Codes with which a person who forgot their password chooses another.
-- Locks: member, briefly, for a foreign key. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE password_reset (
    company_id uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    reset_id   uuid        NOT NULL,
    code_hash  bytea,
    tries      smallint    NOT NULL CHECK (tries >= 0),
    asked_at   timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    sent       smallint    NOT NULL CHECK (sent > 0),
    first_at   timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id)
);
COMMENT ON TABLE password_reset IS
    'The code that was sent to whoever forgot their password; of the code only a hash. NULL: it was '
    'told, or the password was written otherwise since. sent counts the codes since first_at. It '
    'goes a day after first_at.';
CREATE INDEX password_reset_first ON password_reset (company_id, first_at);

ALTER TABLE password_reset ADD CONSTRAINT password_reset_member FOREIGN KEY (company_id, member_id)
    REFERENCES member (company_id, member_id);

ALTER TABLE password_reset ENABLE ROW LEVEL SECURITY;
ALTER TABLE password_reset FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON password_reset TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE, DELETE ON password_reset TO jolda_app;

DO $$
DECLARE
    mapped record;
    attribute text;
BEGIN
    FOR mapped IN SELECT * FROM (VALUES
        ('company_id reset_id', 'class=plain form=clear retention=password_reset'),
        ('member_id asked_at expires_at tries sent first_at',
         'class=personal/account form=clear retention=password_reset eraser=erase_account exporter=none:internal'),
        ('code_hash',
         'class=personal/account form=hashed retention=password_reset eraser=erase_account exporter=none:secret')
    ) AS m (columns, words) LOOP
        FOREACH attribute IN ARRAY string_to_array(mapped.columns, ' ') LOOP
            EXECUTE format('COMMENT ON COLUMN password_reset.%I IS %L', attribute, mapped.words);
        END LOOP;
    END LOOP;
END
$$;
