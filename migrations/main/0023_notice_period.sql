-- Who publishes says themself what an edition changes, so no class but `first` shortens the notice:
-- `protective` did. Editions that were published as such stay as they were promised, hence NOT VALID.
-- A process of the release before that publishes one to be in force at once is refused by this.
-- Locks: policy_edition, briefly; no row is read. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE policy_edition DROP CONSTRAINT policy_edition_notice_period;
ALTER TABLE policy_edition ADD CONSTRAINT policy_edition_notice_period
    CHECK (change_class = 'first' OR effective_at >= noticed_at + interval '720 hours') NOT VALID;
