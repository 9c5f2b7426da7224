-- Holds: a category of a driver's data that is not erased before a date. And refusals that end.
-- An erasure under a hold erases the rest and waits (held); a refusal runs again when it ends.
-- Locks: erasure_request, for an instant. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE hold (
    company_id      uuid        NOT NULL,
    driver_id       uuid        NOT NULL,
    hold_id         uuid        NOT NULL,
    request_id      uuid,
    category        text        NOT NULL CHECK (category IN
                        ('identity', 'contact', 'track', 'report', 'work', 'consent')),
    state           text        NOT NULL CHECK (state IN
                        ('wished', 'proposed', 'placed', 'declined', 'ended')),
    ground          text        CHECK (ground IN ('legal_obligation', 'legal_claim',
                        'unfulfilled_obligation', 'identity_not_proven')),
    until           timestamptz,
    evidence_sealed bytea,
    asked_by_role   text        NOT NULL CHECK (asked_by_role IN
                        ('driver', 'dispatcher', 'main_user')),
    asked_at        timestamptz NOT NULL,
    placed_at       timestamptz,
    ended_at        timestamptz,
    ended_by_role   text        CHECK (ended_by_role IN ('driver', 'dispatcher', 'main_user')),
    PRIMARY KEY (company_id, hold_id),
    CHECK (state IN ('wished', 'proposed', 'declined') OR
           (ground IS NOT NULL AND until IS NOT NULL AND placed_at IS NOT NULL))
);
CREATE INDEX hold_of_driver ON hold (company_id, driver_id);
CREATE INDEX hold_placed ON hold (company_id, category, until) WHERE state = 'placed';
COMMENT ON TABLE hold IS
    'Keeps a category of a driver from being erased or forgotten until a date. request_id: it is '
    'part of the refusal of that request.';

CREATE TABLE erasure_refusal (
    company_id  uuid        NOT NULL,
    driver_id   uuid        NOT NULL,
    request_id  uuid        NOT NULL,
    text_sealed bytea       NOT NULL,
    locale      text        NOT NULL CHECK (locale IN ('ru', 'kk', 'en')),
    refused_at  timestamptz NOT NULL,
    PRIMARY KEY (company_id, request_id)
);
COMMENT ON TABLE erasure_refusal IS
    'What the company wrote to the driver with the last refusal of a request.';

CREATE TABLE erasure_part (
    company_id uuid        NOT NULL,
    request_id uuid        NOT NULL,
    done_at    timestamptz NOT NULL,
    held       text        NOT NULL,
    key_ids    uuid[]      NOT NULL,
    PRIMARY KEY (company_id, request_id)
);
COMMENT ON TABLE erasure_part IS
    'An erasure that holds kept from being whole: canonical JSON of what was held, why and until '
    'when; and which keys were destroyed before the rest.';
ALTER TABLE erasure_part ADD CONSTRAINT erasure_part_request
    FOREIGN KEY (company_id, request_id) REFERENCES erasure_request (company_id, request_id);

ALTER TABLE erasure_request ADD COLUMN refused_until timestamptz;
ALTER TABLE erasure_request DROP CONSTRAINT erasure_request_state_check;
ALTER TABLE erasure_request ADD CONSTRAINT erasure_request_state_check CHECK (state IN
    ('open', 'refused', 'cancelled', 'grace', 'erasing', 'held', 'erased'));
DROP INDEX erasure_request_one_under_way;
CREATE UNIQUE INDEX erasure_request_one_under_way ON erasure_request (company_id, driver_id)
    WHERE state IN ('open', 'grace', 'erasing', 'held');

DO $$
DECLARE
    name text;
    mapped record;
    attribute text;
BEGIN
    FOREACH name IN ARRAY ARRAY['hold', 'erasure_refusal', 'erasure_part'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
    END LOOP;
    FOR mapped IN SELECT * FROM (VALUES
        ('hold', 'company_id', 'class=plain form=clear retention=erasure'),
        ('hold', 'driver_id hold_id request_id category state ground until asked_by_role asked_at '
         'placed_at ended_at ended_by_role',
         'class=personal/account form=clear retention=erasure eraser=erase_holds exporter=list_holds'),
        ('hold', 'evidence_sealed',
         'class=personal/contact form=sealed retention=erasure eraser=erase_holds exporter=list_holds'),
        ('erasure_refusal', 'company_id', 'class=plain form=clear retention=erasure'),
        ('erasure_refusal', 'driver_id request_id locale refused_at',
         'class=personal/account form=clear retention=erasure eraser=erase_holds exporter=read_refusal'),
        ('erasure_refusal', 'text_sealed',
         'class=personal/contact form=sealed retention=erasure eraser=erase_holds exporter=read_refusal'),
        ('erasure_part', 'company_id', 'class=plain form=clear retention=always'),
        ('erasure_part', 'request_id done_at held key_ids',
         'class=personal/erasure form=clear retention=always eraser=none:nobody exporter=none:nobody'),
        ('erasure_request', 'refused_until',
         'class=personal/erasure form=clear retention=always eraser=none:nobody exporter=list_erasures')
    ) AS t (relation, names, said)
    LOOP
        FOREACH attribute IN ARRAY string_to_array(mapped.names, ' ') LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', mapped.relation, attribute, mapped.said);
        END LOOP;
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON hold TO jolda_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON erasure_refusal TO jolda_app;
GRANT SELECT, INSERT, UPDATE ON erasure_part TO jolda_app;
