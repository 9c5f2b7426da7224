-- Since when a driver has had a route: nobody has ended their work on one that they got later.
-- Locks: route, for an instant, and again while its rows are checked. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE route ADD COLUMN assigned_at timestamptz;
ALTER TABLE route ADD CONSTRAINT route_assigned_at
    CHECK (assigned_at IS NULL OR driver_id IS NOT NULL);
COMMENT ON COLUMN route.assigned_at IS
    'class=personal/work form=clear retention=plan_days eraser=erase_routes exporter=none:on_request'
    ' -- When the route was given to its driver. NULL: nobody has it, or that was not stored yet.';
