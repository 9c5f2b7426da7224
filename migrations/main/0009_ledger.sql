-- The ledger: one hash chain per company, signed checkpoints of it, and the reads of locations.
-- Entries, checkpoints and reads are append-only because the application may not do more.
-- Locks: member, briefly, for a foreign key. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE ledger_subject (
    company_id uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    pseudonym  uuid        NOT NULL,
    public_key bytea       CHECK (octet_length(public_key) = 32),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id),
    UNIQUE (company_id, pseudonym)
);
COMMENT ON TABLE ledger_subject IS
    'Who a pseudonym of the ledger is. The row goes at erasure, and the entries point to nobody. '
    'public_key (X25519) seals details so that only the member''s own key opens them; NULL until '
    'the key database was there to make one.';
-- Nobody who is no member (any more) gets a pseudonym.
ALTER TABLE ledger_subject ADD CONSTRAINT ledger_subject_member
    FOREIGN KEY (company_id, member_id) REFERENCES member (company_id, member_id);

CREATE TABLE ledger_head (
    company_id uuid   NOT NULL,
    index      bigint NOT NULL CHECK (index >= 0),
    hash       bytea  NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (company_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE ledger_head IS
    'The last entry of a company''s chain; index 0 is the beginning. Locked last by every act.';

CREATE TABLE ledger_entry (
    company_id    uuid        NOT NULL,
    index         bigint      NOT NULL CHECK (index >= 1),
    recorded_at   timestamptz NOT NULL,
    act           text        NOT NULL CHECK (act <> ''),
    actor_kind    text        NOT NULL CHECK (actor_kind <> ''),
    actor_id      uuid,
    subject_id    uuid,
    detail_sealed bytea,
    facts         text        NOT NULL CHECK (facts <> ''),
    hash          bytea       NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (company_id, index)
);
CREATE INDEX ledger_entry_about ON ledger_entry (company_id, subject_id, index)
    WHERE subject_id IS NOT NULL;
ALTER TABLE ledger_entry ALTER COLUMN detail_sealed SET STORAGE EXTERNAL;
COMMENT ON TABLE ledger_entry IS
    'One act. actor_id and subject_id are pseudonyms (actor_id may also be an API token''s or a '
    'link''s id). facts is canonical JSON (RFC 8785) without personal data. hash covers the hash '
    'before it and every column.';

CREATE TABLE ledger_checkpoint (
    company_id uuid        NOT NULL,
    index      bigint      NOT NULL CHECK (index >= 1),
    hash       bytea       NOT NULL CHECK (octet_length(hash) = 32),
    made_at    timestamptz NOT NULL,
    key_id     uuid        NOT NULL,
    signature  bytea       NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (company_id, index)
);
COMMENT ON TABLE ledger_checkpoint IS
    'What the chain was at an entry, signed (Ed25519). Receipts carry copies to people outside.';

CREATE TABLE location_read_bucket (
    company_id   uuid        NOT NULL,
    bucket_at    timestamptz NOT NULL,
    ledger_index bigint,
    PRIMARY KEY (company_id, bucket_at)
);
COMMENT ON TABLE location_read_bucket IS
    'Five minutes of reads. Once ledger_index names the entry with the hash of its rows, no row is '
    'added: whoever adds one holds this row FOR SHARE.';

CREATE TABLE location_read_set (
    company_id uuid   NOT NULL,
    set_hash   bytea  NOT NULL CHECK (octet_length(set_hash) = 32),
    drivers    uuid[] NOT NULL CHECK (cardinality(drivers) > 0),
    PRIMARY KEY (company_id, set_hash)
);
COMMENT ON TABLE location_read_set IS
    'Pseudonyms of drivers who were looked at together, sorted; shared by every read of the same '
    'drivers, named by its SHA-256.';

CREATE TABLE location_read (
    company_id  uuid        NOT NULL,
    bucket_at   timestamptz NOT NULL,
    viewer_kind text        NOT NULL CHECK (viewer_kind <> ''),
    viewer_id   uuid        NOT NULL,
    purpose     text        NOT NULL CHECK (purpose <> ''),
    screen      text        NOT NULL CHECK (screen <> ''),
    set_hash    bytea       NOT NULL,
    read_at     timestamptz NOT NULL,
    PRIMARY KEY (company_id, bucket_at, viewer_kind, viewer_id, purpose, screen, set_hash)
);
COMMENT ON TABLE location_read IS
    'Who looked at which drivers'' positions, why and where, committed before the first byte left. '
    'A second row of the same viewer, purpose, screen and bucket adds drivers.';

ALTER TABLE location_read ADD CONSTRAINT location_read_of_bucket FOREIGN KEY (company_id, bucket_at)
    REFERENCES location_read_bucket (company_id, bucket_at);
ALTER TABLE location_read ADD CONSTRAINT location_read_of_set FOREIGN KEY (company_id, set_hash)
    REFERENCES location_read_set (company_id, set_hash);
CREATE INDEX location_read_bucket_open ON location_read_bucket (company_id, bucket_at)
    WHERE ledger_index IS NULL;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ledger_subject', 'ledger_head', 'ledger_entry',
                                'ledger_checkpoint', 'location_read_bucket', 'location_read_set',
                                'location_read'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO jolda_app', name);
    END LOOP;
END
$$;
GRANT UPDATE (public_key), DELETE ON ledger_subject TO jolda_app;
GRANT UPDATE (index, hash) ON ledger_head TO jolda_app;
GRANT UPDATE (ledger_index) ON location_read_bucket TO jolda_app;
