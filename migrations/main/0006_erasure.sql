-- Requests to make a person unreadable, and what became of them. No personal data stands here:
-- after the erasure this row is all that is left, and driver_id points to nobody.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE erasure_request (
    company_id        uuid        NOT NULL,
    request_id        uuid        NOT NULL,
    driver_id         uuid        NOT NULL,
    state             text        NOT NULL CHECK (state IN
                          ('open', 'refused', 'cancelled', 'grace', 'erasing', 'erased')),
    requested_by_role text        NOT NULL CHECK (requested_by_role IN
                          ('driver', 'dispatcher', 'main_user')),
    reason_code       text        CHECK (reason_code IN ('left_company', 'own_wish', 'other')),
    requested_at      timestamptz NOT NULL,
    decided_by_role   text        CHECK (decided_by_role IN ('dispatcher', 'main_user')),
    refusal_ground    text        CHECK (refusal_ground IN ('legal_obligation', 'legal_claim',
                          'unfulfilled_obligation', 'identity_not_proven')),
    decided_at        timestamptz,
    grace_until       timestamptz,
    account_before    text        CHECK (account_before IN
                          ('invited', 'active', 'blocked', 'offboarded')),
    cancelled_by_role text        CHECK (cancelled_by_role IN
                          ('driver', 'dispatcher', 'main_user')),
    cancelled_at      timestamptz,
    erased_at         timestamptz,
    PRIMARY KEY (company_id, request_id)
);
CREATE UNIQUE INDEX erasure_request_one_under_way ON erasure_request (company_id, driver_id)
    WHERE state IN ('open', 'grace', 'erasing');
COMMENT ON TABLE erasure_request IS
    'One wish to erase one driver, from the asking to the end. account_before is what the account '
    'was when its grace began, and is again if the erasure is called off.';

CREATE TABLE erasure_step (
    company_id uuid        NOT NULL,
    request_id uuid        NOT NULL,
    step       text        NOT NULL,
    rows       bigint      NOT NULL CHECK (rows >= 0),
    done_at    timestamptz,
    PRIMARY KEY (company_id, request_id, step)
);
COMMENT ON TABLE erasure_step IS
    'A step of the erasing job that is done: a crash resumes after it. done_at is NULL again where '
    'rows were found afterwards; rows counts what every attempt removed.';

ALTER TABLE erasure_step ADD CONSTRAINT erasure_step_request FOREIGN KEY (company_id, request_id)
    REFERENCES erasure_request (company_id, request_id);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['erasure_request', 'erasure_step'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE ON erasure_request TO jolda_app;
GRANT SELECT, INSERT, UPDATE ON erasure_step TO jolda_app;
