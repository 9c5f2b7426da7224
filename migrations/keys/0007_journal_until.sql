-- A key database that was itself restored lacks what was taken away after its backup. Until when its
-- journal is whole stands with the restoration: what came after that, nobody can take over.
-- Locks: restoration, for an instant: a column without a default. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE restoration ADD COLUMN journal_until timestamptz;
COMMENT ON COLUMN restoration.journal_until IS 'class=plain form=clear retention=always';
-- Another backup may be restored before the first was reconciled: the note follows it.
GRANT UPDATE (known_until, journal_until) ON restoration TO jolda_keys;
