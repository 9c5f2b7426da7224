-- Keys that open the ledger's details, the key that signs checkpoints and receipts, and the last
-- signed place of each ledger: a `main` that was cut back is found out by what stands here.
-- Locks: data_key, for as long as reading its categories takes. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE data_key DROP CONSTRAINT data_key_category_check;
ALTER TABLE data_key ADD CONSTRAINT data_key_category_check CHECK (category IN
    ('identity', 'contact', 'track', 'report', 'live', 'plan', 'ledger'));

CREATE TABLE signing_key (
    key_id     uuid        NOT NULL,
    public_key bytea       NOT NULL CHECK (octet_length(public_key) = 32),
    kek_id     bytea       NOT NULL,
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (key_id)
);
COMMENT ON TABLE signing_key IS
    'Ed25519 keys of this installation; the newest signs, all of them verify.';

CREATE TABLE ledger_witness (
    company_id uuid        NOT NULL,
    index      bigint      NOT NULL CHECK (index >= 1),
    hash       bytea       NOT NULL CHECK (octet_length(hash) = 32),
    seen_at    timestamptz NOT NULL,
    PRIMARY KEY (company_id)
);
COMMENT ON TABLE ledger_witness IS
    'The last checkpoint of a company''s ledger in `main`: outside the reach of whoever cuts it.';

ALTER TABLE ledger_witness ADD CONSTRAINT ledger_witness_company FOREIGN KEY (company_id)
    REFERENCES company_key (company_id);

ALTER TABLE ledger_witness ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_witness FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ledger_witness TO jolda_keys USING (company_id = current_company());
GRANT SELECT, INSERT ON signing_key TO jolda_keys;
GRANT SELECT, INSERT, UPDATE (index, hash, seen_at) ON ledger_witness TO jolda_keys;
