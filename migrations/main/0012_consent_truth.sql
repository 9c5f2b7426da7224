-- Consents: all six items and eight states, the record of each act as a document with its hash and
-- its place in the ledger, the reach of the consent to location in the gate, and the commitments
-- that outlive an erased driver's records.
-- Locks: consent_record, gate and company, each for a change of the catalogue only (the new checks
-- are not held against old rows). Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE consent_record DROP CONSTRAINT consent_record_item_check;
ALTER TABLE consent_record ADD CONSTRAINT consent_record_item_check CHECK (item IN
    ('location', 'dispatch_tracking', 'plan_fact', 'customer_link', 'notifications', 'marketing'))
    NOT VALID;
ALTER TABLE consent_record DROP CONSTRAINT consent_record_state_check;
ALTER TABLE consent_record ADD CONSTRAINT consent_record_state_check CHECK (state IN
    ('requested', 'given', 'declined', 'withdrawn', 'expired', 'superseded', 'invalidated'))
    NOT VALID;
ALTER TABLE consent_record DROP CONSTRAINT consent_record_actor_check;
ALTER TABLE consent_record ADD CONSTRAINT consent_record_actor_check CHECK (actor IN
    ('driver', 'dispatcher', 'main_user', 'system', 'erasure')) NOT VALID;

ALTER TABLE consent_record ADD COLUMN scope text;
ALTER TABLE consent_record ADD COLUMN sources text[];
ALTER TABLE consent_record ADD COLUMN background boolean;
ALTER TABLE consent_record ADD COLUMN notice_edition integer;
ALTER TABLE consent_record ADD COLUMN notice_language text;
ALTER TABLE consent_record ADD COLUMN notice_sha256 text;
ALTER TABLE consent_record ADD COLUMN valid_until timestamptz;
ALTER TABLE consent_record ADD COLUMN record text;
ALTER TABLE consent_record ADD COLUMN record_sha256 bytea;
ALTER TABLE consent_record ADD COLUMN nonce bytea;
ALTER TABLE consent_record ADD COLUMN ledger_index bigint;

ALTER TABLE consent_record ADD CONSTRAINT consent_record_whole CHECK (
    (record <> '' AND octet_length(record_sha256) = 32 AND octet_length(nonce) = 32
     AND ledger_index >= 1) IS TRUE) NOT VALID;
ALTER TABLE consent_record ADD CONSTRAINT consent_record_terms CHECK (
    (scope IS NULL) = (sources IS NULL) AND (scope IS NULL) = (background IS NULL)
    AND (scope IS NULL OR item = 'location')
    AND (scope IN ('on_shift', 'always')) IS NOT FALSE
    AND (sources <@ ARRAY['gps', 'wifi', 'cell', 'beacon', 'fused']
         AND cardinality(sources) > 0) IS NOT FALSE) NOT VALID;
ALTER TABLE consent_record ADD CONSTRAINT consent_record_given CHECK (
    state <> 'given' OR (valid_until > recorded_at AND notice_edition IS NOT NULL
                         AND notice_language IS NOT NULL AND notice_sha256 IS NOT NULL
                         AND (item <> 'location' OR scope IS NOT NULL)) IS TRUE) NOT VALID;
CREATE UNIQUE INDEX consent_record_by_id ON consent_record (company_id, record_id);
CREATE INDEX consent_record_running_out ON consent_record (company_id, valid_until)
    WHERE state = 'given';
COMMENT ON TABLE consent_record IS
    'Every act on a consent ever made; the highest version of an item is in force. Never updated. '
    'record is the whole record (ISO/IEC TS 27560, law 94-V art. 8(4)) as canonical JSON, RFC 8785; '
    'NULL only in rows older than it. The ledger holds SHA-256 of nonce and record.';

CREATE TABLE consent_commitment (
    company_id uuid  NOT NULL,
    commitment bytea NOT NULL CHECK (octet_length(commitment) = 32),
    PRIMARY KEY (company_id, commitment)
);
COMMENT ON TABLE consent_commitment IS
    'All that is left of an erased driver''s consent records: SHA-256 of a nonce and the record. '
    'The nonce stands in the driver''s receipt and nowhere else.';
ALTER TABLE consent_commitment ENABLE ROW LEVEL SECURITY;
ALTER TABLE consent_commitment FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON consent_commitment TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT ON consent_commitment TO jolda_app;

-- What the consent to location reaches. An act that changes it bumps epoch, so the storing
-- statement refuses what was filtered by the reach before.
ALTER TABLE gate ADD COLUMN location_always boolean NOT NULL DEFAULT false;
ALTER TABLE gate ADD COLUMN location_sources text[];
ALTER TABLE gate ADD COLUMN location_background boolean NOT NULL DEFAULT true;
ALTER TABLE gate ADD COLUMN consented_until timestamptz;
COMMENT ON COLUMN gate.location_always IS 'Also off shift; else only on shift.';
COMMENT ON COLUMN gate.location_sources IS 'Which sources are covered; NULL: all.';
COMMENT ON COLUMN gate.consented_until IS
    'When the consents that hold it open run out by themselves; no window is open for longer.';

ALTER TABLE company ADD COLUMN storage_country text NOT NULL DEFAULT 'KZ'
    CHECK (storage_country ~ '^[A-Z]{2}$');
COMMENT ON COLUMN company.storage_country IS
    'Where its data is stored (ISO 3166-1): every consent record says so.';
