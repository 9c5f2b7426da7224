-- Since when a driver has had a route: nobody has ended their work on one that they got later, and
-- what they drove before it was theirs is not of it.
-- Who has a route that is still ahead has had it since now at the latest, and loses no time of it by
-- that: positions count from an hour before its start. Of one that is under way or over, now would
-- take away what was driven, and since when its driver has had it nobody knows: it stays NULL.
-- No check binds it to driver_id: a process of the release before that still serves takes drivers
-- off routes, as when they are erased, and leaves it as it is. Given anew, it is set anew.
-- Locks: route, while its rows are read once and those ahead are written. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE route ADD COLUMN assigned_at timestamptz;
COMMENT ON COLUMN route.assigned_at IS
    'class=personal/work form=clear retention=plan_days eraser=erase_routes exporter=none:on_request'
    ' -- When the route was given to its driver, or a time at which they had it for certain. NULL:'
    ' nobody has it, or no such time is known.';

-- Who has it now is counted as the first: before, that was not stored.
ALTER TABLE route ADD COLUMN taken_over boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN route.taken_over IS
    'class=plain form=clear retention=plan_days -- Another driver had it when it had begun, and may'
    ' have served some of it.';

-- The owner is bound by row-level security as everybody is, and no policy is for the owner.
ALTER TABLE route NO FORCE ROW LEVEL SECURITY;
UPDATE route SET assigned_at = moment.at
  FROM (SELECT now() AS at) AS moment
 WHERE driver_id IS NOT NULL AND starts_at > moment.at + interval '1 hour';
ALTER TABLE route FORCE ROW LEVEL SECURITY;
