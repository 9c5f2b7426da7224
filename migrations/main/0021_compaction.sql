-- The committer may exchange an hour's chunks for one: it deletes what it names, and still reads
-- no blob.
-- Locks: chunk, briefly, for the policy. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

-- Of the one company that its transaction names: uploads name none, and delete nothing.
CREATE POLICY committer_exchanges ON chunk FOR DELETE TO jolda_committer
    USING (company_id = current_company());
GRANT DELETE ON chunk TO jolda_committer;
