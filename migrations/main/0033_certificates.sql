-- What an erasure looks for before the keys go, and the certificate of what it did.
-- Locks: erasure_request, for an instant. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE erasure_request ADD COLUMN backups_unreadable_at timestamptz;
ALTER TABLE erasure_request ADD CONSTRAINT erasure_request_certified
    CHECK (backups_unreadable_at IS NULL OR erased_at IS NOT NULL);
COMMENT ON COLUMN erasure_request.backups_unreadable_at IS
    'Since when no copy of the key database opens anything of the driver. Set with the certificate.';

ALTER TABLE erasure_request ADD COLUMN after_restore boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN erasure_request.after_restore IS
    'Written anew after a backup was restored: who asked, when and why is lost. The role and time of the asking are then those of the rule and the moment that it goes on by.';

CREATE TABLE erasure_search (
    company_id     uuid   NOT NULL,
    request_id     uuid   NOT NULL,
    sought_sealed  bytea,
    key_ids        uuid[] NOT NULL,
    ledger_entries bigint CHECK (ledger_entries >= 0),
    protocol       text,
    PRIMARY KEY (company_id, request_id)
);
COMMENT ON TABLE erasure_search IS
    'The last look for a driver before their keys are destroyed: what is looked for, sealed under '
    'their own key; which keys they had; how many entries of the ledger stay; canonical JSON of '
    'where was looked and what was found. What is looked for goes when the search is over.';
ALTER TABLE erasure_search ADD CONSTRAINT erasure_search_request
    FOREIGN KEY (company_id, request_id) REFERENCES erasure_request (company_id, request_id);

CREATE TABLE erasure_certificate (
    company_id   uuid        NOT NULL,
    request_id   uuid        NOT NULL,
    ledger_index bigint      NOT NULL CHECK (ledger_index >= 1),
    issued_at    timestamptz NOT NULL,
    document     text        NOT NULL,
    PRIMARY KEY (company_id, request_id)
);
COMMENT ON TABLE erasure_certificate IS
    'The signed certificate of an erasure, as it is handed out. It names nobody.';
ALTER TABLE erasure_certificate ADD CONSTRAINT erasure_certificate_request
    FOREIGN KEY (company_id, request_id) REFERENCES erasure_request (company_id, request_id);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['erasure_search', 'erasure_certificate'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE ON erasure_search TO jolda_app;
-- A certificate is never changed: whoever holds it can compare.
GRANT SELECT, INSERT ON erasure_certificate TO jolda_app;
