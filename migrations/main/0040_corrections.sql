-- What was corrected of a person's own data, by whom, from what to what; phones and e-mails that do
-- not count before the code that was sent there is told; and where a notice goes that is for an
-- address other than the reader's own.
-- Locks: notice, for an instant: columns without defaults. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE correction (
    company_id    uuid        NOT NULL,
    correction_id uuid        NOT NULL,
    member_id     uuid        NOT NULL,
    field         text        NOT NULL CHECK (field IN ('name', 'phone', 'email', 'locale')),
    source        text        NOT NULL CHECK (source IN ('self', 'staff')),
    by_member     uuid,
    before_sealed bytea,
    after_sealed  bytea       NOT NULL,
    corrected_at  timestamptz NOT NULL,
    PRIMARY KEY (company_id, correction_id),
    CHECK ((source = 'staff') = (by_member IS NOT NULL))
);
COMMENT ON TABLE correction IS
    'One thing of a person''s own data that was corrected, sealed under their key: from what, to '
    'what. by_member is who of the staff it was.';
CREATE INDEX correction_of_member ON correction (company_id, member_id, correction_id);

CREATE TABLE contact_change (
    company_id     uuid        NOT NULL,
    member_id      uuid        NOT NULL,
    field          text        NOT NULL CHECK (field IN ('phone', 'email')),
    change_id      uuid        NOT NULL,
    source         text        NOT NULL CHECK (source IN ('self', 'staff')),
    by_member      uuid,
    contact_sealed bytea       NOT NULL,
    code_hash      bytea       NOT NULL,
    tries          smallint    NOT NULL CHECK (tries >= 0),
    asked_at       timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    sent           smallint    NOT NULL CHECK (sent > 0),
    first_at       timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id, field),
    CHECK ((source = 'staff') = (by_member IS NOT NULL))
);
COMMENT ON TABLE contact_change IS
    'A phone or e-mail that counts once the code that was sent there is told. sent counts the codes '
    'since first_at. It goes as it is told, or a day after first_at.';
CREATE INDEX contact_change_first ON contact_change (company_id, first_at);

ALTER TABLE notice
    ADD COLUMN elsewhere      text CHECK (elsewhere IN ('email', 'sms')),
    ADD COLUMN address_sealed bytea,
    ADD CONSTRAINT notice_elsewhere CHECK ((elsewhere IS NULL) = (address_sealed IS NULL))
        NOT VALID;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['correction', 'contact_change'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
    END LOOP;
END
$$;
-- What was corrected never changes.
GRANT SELECT, INSERT, DELETE ON correction TO jolda_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON contact_change TO jolda_app;

DO $$
DECLARE
    mapped record;
    attribute text;
BEGIN
    FOR mapped IN SELECT * FROM (VALUES
        ('correction', 'company_id correction_id', 'class=plain form=clear retention=erasure'),
        ('correction', 'member_id field source corrected_at',
         'class=personal/identity form=clear retention=erasure eraser=erase_corrections exporter=list_corrections'),
        ('correction', 'by_member',
         'class=personal/work form=clear retention=erasure eraser=erase_corrections exporter=list_corrections'),
        ('correction', 'before_sealed after_sealed',
         'class=personal/identity form=sealed retention=erasure eraser=erase_corrections exporter=list_corrections'),
        ('contact_change', 'company_id change_id', 'class=plain form=clear retention=contact_change'),
        ('contact_change', 'member_id field source asked_at expires_at',
         'class=personal/contact form=clear retention=contact_change eraser=erase_corrections exporter=list_corrections'),
        ('contact_change', 'by_member',
         'class=personal/work form=clear retention=contact_change eraser=erase_corrections exporter=none:internal'),
        ('contact_change', 'contact_sealed',
         'class=personal/contact form=sealed retention=contact_change eraser=erase_corrections exporter=list_corrections'),
        ('contact_change', 'code_hash',
         'class=personal/contact form=hashed retention=contact_change eraser=erase_corrections exporter=none:secret'),
        ('contact_change', 'tries sent first_at',
         'class=personal/contact form=clear retention=contact_change eraser=erase_corrections exporter=none:internal'),
        ('notice', 'elsewhere',
         'class=personal/notice form=clear retention=erasure eraser=erase_notices exporter=none:internal'),
        ('notice', 'address_sealed',
         'class=personal/contact form=sealed retention=erasure eraser=erase_notices exporter=none:internal')
    ) AS v (of_table, names, words) LOOP
        FOREACH attribute IN ARRAY string_to_array(mapped.names, ' ') LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', mapped.of_table, attribute, mapped.words);
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON COLUMN notice.elsewhere IS
    'class=personal/notice form=clear retention=erasure eraser=erase_notices exporter=none:internal'
    ' -- The one channel of a notice that goes to an address which is not, or not any more, the '
    'reader''s own; NULL: it goes wherever its kind does.';
