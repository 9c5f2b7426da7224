-- How many days of a driver's track a company keeps.
-- Locks: company, for as long as reading its rows takes. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

-- Companies that are there keep tracks until the driver is erased: nothing that their drivers were
-- shown and agreed to says less. Their operator sets a time once their texts name it.
ALTER TABLE company ADD COLUMN track_days smallint CHECK (track_days BETWEEN 1 AND 365);
ALTER TABLE company ALTER COLUMN track_days SET DEFAULT 60;
COMMENT ON COLUMN company.track_days IS
    'Positions older than so many times 24 hours are shown to nobody of the company, and removed. '
    'NULL: kept until the driver is erased.';

-- Nothing is accepted that is to be removed already; and so no upload is sealed under the key of
-- a month that is destroyed, because all of the month is too old.
ALTER TABLE company ADD CONSTRAINT company_keeps_what_it_accepts
    CHECK (buffer_max_s <= track_days * 86400);
