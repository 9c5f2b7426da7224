-- Packages of drivers' data are sealed with a key of their day: it goes soon after they do, so that
-- no older copy of main opens what was in them either.
-- Locks: data_key, for as long as reading its categories takes. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE data_key DROP CONSTRAINT data_key_category_check;
ALTER TABLE data_key ADD CONSTRAINT data_key_category_check CHECK (category IN
    ('identity', 'contact', 'track', 'report', 'live', 'plan', 'ledger', 'export'));
COMMENT ON TABLE data_key IS
    'The key of one category of one subject (track: by month; live and export: by day).';

-- Each is an act of the ledger as well, and that the package gives.
DO $$
DECLARE
    attribute record;
BEGIN
    FOR attribute IN
        SELECT a.attname AS name, col_description(a.attrelid, a.attnum) AS text
          FROM pg_attribute a
         WHERE a.attrelid = 'negative_act'::regclass
           AND a.attname IN ('act', 'subject_id', 'reference_id', 'recorded_at')
    LOOP
        EXECUTE format('COMMENT ON COLUMN negative_act.%I IS %L', attribute.name,
                       replace(attribute.text, 'exporter=none:on_request',
                               'exporter=none:internal'));
    END LOOP;
END
$$;
