-- What people agreed to, were told and disputed is deleted of nobody but who is being erased or is
-- gone: a statement that forgets whose rows it deletes, or is made to, deletes none.
-- And five minutes of reads are closed once, by an entry of that kind.
-- Locks: each table, briefly, for a policy. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

DO $$
DECLARE
    person record;
BEGIN
    FOR person IN
        SELECT * FROM (VALUES
            ('consent_record', 'driver_id'),
            ('policy_acceptance', 'member_id'),
            ('attestation', 'driver_id'),
            ('attestation_dispute', 'driver_id'),
            ('device_notice', 'member_id'),
            ('set_apart', 'driver_id'),
            ('ledger_subject', 'member_id')
        ) AS t (history, member)
    LOOP
        EXECUTE format(
            'CREATE POLICY only_of_who_is_erased ON %1$I AS RESTRICTIVE FOR DELETE TO jolda_app '
            'USING (NOT EXISTS (SELECT FROM member m '
                               'WHERE m.company_id = %1$I.company_id '
                                 'AND m.member_id = %1$I.%2$I AND m.state <> ''erasing''))',
            person.history, person.member);
    END LOOP;
END
$$;

CREATE POLICY closed_once ON location_read_bucket AS RESTRICTIVE FOR UPDATE TO jolda_app
    USING (ledger_index IS NULL)
    WITH CHECK (EXISTS (SELECT FROM ledger_entry e
                         WHERE e.company_id = location_read_bucket.company_id
                           AND e.index = location_read_bucket.ledger_index
                           AND e.act = 'location_read_bucket'));
