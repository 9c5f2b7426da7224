-- When a company closes, and the erasures that come of it.
-- Locks: erasure_request, for as long as it takes to read it once: requests are few. Reversal:
-- forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE company_closing (
    company_id    uuid        NOT NULL,
    asked_at      timestamptz NOT NULL,
    asked_by_role text        NOT NULL CHECK (asked_by_role IN ('main_user', 'operator')),
    closes_at     timestamptz NOT NULL,
    closed_at     timestamptz,
    PRIMARY KEY (company_id),
    CHECK (closes_at >= asked_at),
    CHECK (closed_at >= closes_at)
);
COMMENT ON TABLE company_closing IS
    'When a company closes; closed_at is NULL until it has. Whoever keeps it open deletes the row.';
ALTER TABLE company_closing ADD CONSTRAINT company_closing_company
    FOREIGN KEY (company_id) REFERENCES company (company_id);
ALTER TABLE company_closing ENABLE ROW LEVEL SECURITY;
ALTER TABLE company_closing FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON company_closing TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE, DELETE ON company_closing TO jolda_app;

ALTER TABLE erasure_request DROP CONSTRAINT erasure_request_reason_code_check;
ALTER TABLE erasure_request ADD CONSTRAINT erasure_request_reason_code_check CHECK (reason_code IN
    ('left_company', 'own_wish', 'other', 'company_closed'));

DO $$
DECLARE
    attribute text;
BEGIN
    FOREACH attribute IN ARRAY
        ARRAY['company_id', 'asked_at', 'asked_by_role', 'closes_at', 'closed_at'] LOOP
        EXECUTE format('COMMENT ON COLUMN company_closing.%I IS %L', attribute,
                       'class=plain form=clear retention=company');
    END LOOP;
END
$$;
