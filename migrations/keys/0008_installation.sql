-- A time for which something is kept that was made shorter stays so after a restore: the journal
-- holds the days. And a key database has a name of its own, which stands beside the KEK's file as
-- well: an exchange of keys by another installation would destroy the KEK that this one needs.
-- Locks: negative_act, for an instant: a column without a default. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE negative_act ADD COLUMN days smallint;
COMMENT ON COLUMN negative_act.days IS 'class=plain form=clear retention=always';

CREATE TABLE installation (
    installation_id uuid        NOT NULL,
    made_at         timestamptz NOT NULL,
    PRIMARY KEY (installation_id)
);
CREATE UNIQUE INDEX installation_is_one ON installation ((true));
COMMENT ON TABLE installation IS
    'Which installation this key database is: of one that was restored, a new one.';
COMMENT ON COLUMN installation.installation_id IS 'class=plain form=clear retention=always';
COMMENT ON COLUMN installation.made_at IS 'class=plain form=clear retention=always';
GRANT SELECT, INSERT ON installation TO jolda_keys;
GRANT SELECT ON installation TO jolda_rekeying;
