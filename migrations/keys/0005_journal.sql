-- What was taken away in `main`, once more where a restored `main` cannot forget it: no withdrawal,
-- block, revocation or erasure is undone by an old backup. Nothing of a person stands here.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE negative_act (
    company_id   uuid        NOT NULL,
    index        bigint      NOT NULL CHECK (index >= 1),
    act          text        NOT NULL CHECK (act <> ''),
    subject_id   uuid,
    reference_id uuid,
    recorded_at  timestamptz NOT NULL,
    PRIMARY KEY (company_id, index)
);
COMMENT ON TABLE negative_act IS
    'A ledger entry of an act that took something away: its index, the act, the subject''s pseudonym, the device, API token or link it is of. After the erasure the pseudonym points to nobody.';

CREATE TABLE journal_place (
    company_id uuid        NOT NULL,
    index      bigint      NOT NULL CHECK (index >= 1),
    hash       bytea       NOT NULL CHECK (octet_length(hash) = 32),
    copied_at  timestamptz NOT NULL,
    PRIMARY KEY (company_id)
);
COMMENT ON TABLE journal_place IS
    'Up to which entry a company''s ledger was looked through for negative acts, and its hash there: a `main` that is behind it was restored.';

CREATE TABLE restoration (
    company_id    uuid        NOT NULL,
    resumes_at    bigint      NOT NULL CHECK (resumes_at >= 1),
    restored_from bigint      NOT NULL CHECK (restored_from >= 0),
    known_until   bigint      NOT NULL,
    begun_at      timestamptz NOT NULL,
    ended_at      timestamptz,
    PRIMARY KEY (company_id, resumes_at),
    CHECK (known_until >= restored_from),
    CHECK (resumes_at > known_until),
    CHECK (ended_at >= begun_at)
);
CREATE UNIQUE INDEX restoration_under_way ON restoration (company_id) WHERE ended_at IS NULL;
COMMENT ON TABLE restoration IS
    'A `main` that was restored from before: the last entry of its ledger, the last one that the key database knew of, and the index at which the ledger goes on. Until ended_at nothing is served.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['negative_act', 'journal_place', 'restoration'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_keys USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO jolda_keys', name);
    END LOOP;
END
$$;
-- Before it serves, the server compares every ledger with what is known here: also those of
-- companies that a restored `main` has never heard of.
CREATE POLICY compared ON journal_place FOR SELECT TO jolda_keys USING (true);
GRANT UPDATE (index, hash, copied_at) ON journal_place TO jolda_keys;
GRANT UPDATE (restored_from, ended_at) ON restoration TO jolda_keys;
