-- What each column holds, until when, and who removes it: the words are those of main's 0033.
-- Locks: each table, for its comments: no reader or writer waits. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

DO $$
DECLARE
    mapped record;
    attribute record;
BEGIN
    FOR mapped IN SELECT * FROM (VALUES
        ('alembic_version', 'version_num', 'class=plain form=clear retention=company'),
        ('pepper', 'pepper_id kek_id created_at', 'class=plain form=clear retention=exchange'),
        ('pepper', 'wrapped', 'class=plain form=wrapped retention=exchange'),
        ('company_key', 'company_id kek_id created_at',
         'class=plain form=clear retention=exchange'),
        ('company_key', 'wrapped', 'class=plain form=wrapped retention=exchange'),
        ('subject', 'company_id', 'class=plain form=clear retention=always'),
        ('subject', 'subject_id destroyed_at rekeying_id',
         'class=personal/account form=clear retention=always eraser=none:tombstone exporter=none:internal'),
        ('data_key', 'company_id', 'class=plain form=clear retention=keys'),
        ('data_key', 'key_id subject_id category period created_at',
         'class=personal/account form=clear retention=keys eraser=destroy_keys exporter=none:key'),
        ('data_key', 'wrapped',
         'class=personal/account form=wrapped retention=keys eraser=destroy_keys exporter=none:key'),
        ('signing_key', 'key_id public_key kek_id created_at',
         'class=plain form=clear retention=always'),
        ('signing_key', 'wrapped', 'class=plain form=wrapped retention=always'),
        ('negative_act', 'company_id index', 'class=plain form=clear retention=always'),
        ('negative_act', 'act subject_id reference_id recorded_at',
         'class=personal/ledger form=clear retention=always eraser=none:pseudonym exporter=none:on_request'),
        ('journal_place', 'company_id index copied_at', 'class=plain form=clear retention=company'),
        ('journal_place', 'hash', 'class=plain form=hashed retention=company'),
        ('restoration', 'company_id resumes_at restored_from known_until begun_at ended_at',
         'class=plain form=clear retention=always'),
        ('ledger_witness', 'company_id index seen_at', 'class=plain form=clear retention=company'),
        ('ledger_witness', 'hash', 'class=plain form=hashed retention=company'),
        ('rekeying', 'rekeying_id begun_at exchanged_at wrapped_at kek_id companies keys ended_at',
         'class=plain form=clear retention=always')
    ) AS t (relation, names, said)
    LOOP
        FOR attribute IN
            SELECT a.attname AS name, col_description(a.attrelid, a.attnum) AS text
              FROM pg_attribute a
              JOIN unnest(string_to_array(mapped.names, ' ')) AS n (name) ON n.name = a.attname
             WHERE a.attrelid = mapped.relation::regclass
        LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', mapped.relation, attribute.name,
                           mapped.said || coalesce(' -- ' || attribute.text, ''));
        END LOOP;
    END LOOP;
END
$$;
