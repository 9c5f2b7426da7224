-- Links that may still show something are found by an index, and ended ones are deleted in time.
-- And screens count what they may show of a driver by a counter that tells no cause.
-- Locks: customer_link, for an index; gate, for columns, a trigger and every row; recording_window,
-- briefly. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE INDEX customer_link_active ON customer_link (company_id, expires_at)
    WHERE driver_id IS NOT NULL AND delivered_at IS NULL AND revoked_at IS NULL;
GRANT DELETE ON customer_link TO jolda_app;

ALTER TABLE gate
    ADD COLUMN on_screen    boolean NOT NULL DEFAULT false,
    ADD COLUMN screen_epoch bigint  NOT NULL DEFAULT 0 CHECK (screen_epoch >= 0);
COMMENT ON COLUMN gate.on_screen IS
    'Whether the company''s screens might show positions when the gate was acted on last: consents '
    'to location and dispatch_tracking, an active account, an open window, none of it over by '
    'acted_at. What ends by itself after that changes it with the next act.';
COMMENT ON COLUMN gate.screen_epoch IS
    'Grows by one as that begins and as it ends, however many rows and counters the act moves, and '
    'with nothing else: epoch and rev would tell a withdrawal from a pause. What has ended by '
    'itself counts when it is read, until the next act moves it.';

-- From where open screens have counted so far: for them it never goes back. The owner is bound by
-- row-level security as everybody is, and no policy is for the owner.
ALTER TABLE gate NO FORCE ROW LEVEL SECURITY;
ALTER TABLE recording_window NO FORCE ROW LEVEL SECURITY;
UPDATE gate g
   SET screen_epoch = g.epoch + g.rev,
       on_screen = g.account_active AND g.location_since IS NOT NULL
                   AND g.dispatch_since IS NOT NULL
                   AND (g.location_until <= g.acted_at) IS NOT TRUE
                   AND (g.dispatch_until <= g.acted_at) IS NOT TRUE
                   AND EXISTS (SELECT FROM recording_window w
                                WHERE w.company_id = g.company_id AND w.driver_id = g.driver_id
                                  AND w.closed_at IS NULL
                                  AND (w.expires_at <= g.acted_at) IS NOT TRUE);
ALTER TABLE recording_window FORCE ROW LEVEL SECURITY;
ALTER TABLE gate FORCE ROW LEVEL SECURITY;

-- Every change of windows is followed by one of the gate's rev, so the gate's own row is enough.
-- acted_at has been moved by then: the first change after something ended by itself counts that end
-- in the place of whoever reads, whatever it changes, and nothing counts it twice.
CREATE FUNCTION count_for_screens() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.on_screen := NEW.account_active AND NEW.location_since IS NOT NULL
        AND NEW.dispatch_since IS NOT NULL
        AND (NEW.location_until <= NEW.acted_at) IS NOT TRUE
        AND (NEW.dispatch_until <= NEW.acted_at) IS NOT TRUE
        AND EXISTS (SELECT FROM recording_window w
                     WHERE w.company_id = NEW.company_id AND w.driver_id = NEW.driver_id
                       AND w.closed_at IS NULL
                       AND (w.expires_at <= NEW.acted_at) IS NOT TRUE);
    IF NEW.on_screen IS DISTINCT FROM OLD.on_screen THEN
        NEW.screen_epoch := OLD.screen_epoch + 1;
    ELSIF NEW.on_screen AND (NEW.location_since, NEW.dispatch_since)
                            IS DISTINCT FROM (OLD.location_since, OLD.dispatch_since) THEN
        -- Given otherwise: it ends and begins anew, as with a pause and its end.
        NEW.screen_epoch := OLD.screen_epoch + 2;
    ELSIF NEW.on_screen
          AND ((NEW.location_until IS DISTINCT FROM OLD.location_until
                AND OLD.location_until <= NEW.acted_at + interval '1 minute')
               OR (NEW.dispatch_until IS DISTINCT FROM OLD.dispatch_until
                   AND OLD.dispatch_until <= NEW.acted_at + interval '1 minute')) THEN
        -- Renewed so late that the end may pass before this commits, which takes much less than a
        -- minute: then screens were told of the end, and the count must not go back behind it.
        NEW.screen_epoch := OLD.screen_epoch + 2;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER count_for_screens BEFORE UPDATE OF account_active, location_since, dispatch_since,
                                                  epoch, rev ON gate
    FOR EACH ROW EXECUTE FUNCTION count_for_screens();
