-- Which span of their track a driver deleted, and what of them is held until when: a `main` that is
-- restored from before has the one again, and would erase the other.
-- Locks: negative_act, for an instant: columns without defaults. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE negative_act
    ADD COLUMN since timestamptz,
    ADD COLUMN until timestamptz,
    ADD COLUMN category text,
    ADD COLUMN ground text,
    ADD CONSTRAINT negative_act_span CHECK (CASE WHEN since IS NULL
        THEN until IS NULL OR category IS NOT NULL
        ELSE coalesce(until > since, false) END) NOT VALID,
    ADD CONSTRAINT negative_act_hold CHECK (num_nulls(category, ground) IN (0, 2)
        AND (category IS NULL OR (until IS NOT NULL AND since IS NULL))) NOT VALID;
COMMENT ON COLUMN negative_act.since IS
    'class=personal/ledger form=clear retention=always eraser=none:pseudonym exporter=list_track_deletions'
    ' -- Of a track that was deleted: from when. NULL: it was another act.';
COMMENT ON COLUMN negative_act.until IS
    'class=personal/ledger form=clear retention=always eraser=none:pseudonym exporter=list_track_deletions'
    ' -- Of a track that was deleted: until when. Of a hold that was placed: its date. NULL: it was'
    ' another act.';
COMMENT ON COLUMN negative_act.category IS
    'class=personal/ledger form=clear retention=always eraser=none:pseudonym exporter=list_holds'
    ' -- Of a hold that was placed: what it keeps. NULL: it was another act.';
COMMENT ON COLUMN negative_act.ground IS
    'class=personal/ledger form=clear retention=always eraser=none:pseudonym exporter=list_holds'
    ' -- Of a hold that was placed: why. NULL: it was another act.';
