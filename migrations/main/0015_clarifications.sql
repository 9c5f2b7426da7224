-- Questions of members about an edition of a policy, their answers, and what of it stood answered
-- when the member accepted the edition.
-- Locks: policy_acceptance and policy_text, briefly, for columns with constant defaults and a
-- foreign key. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE clarification (
    company_id       uuid        NOT NULL,
    clarification_id uuid        NOT NULL,
    member_id        uuid        NOT NULL,
    document         text        NOT NULL,
    edition          integer     NOT NULL,
    language         text        NOT NULL,
    state            text        NOT NULL CHECK (state IN ('open', 'answered', 'withdrawn')),
    slot             integer     CHECK (slot BETWEEN 1 AND 20),
    asked_at         timestamptz NOT NULL,
    closed_at        timestamptz,
    answered_by      uuid,
    question_sealed  bytea       NOT NULL,
    answer_sealed    bytea,
    PRIMARY KEY (company_id, clarification_id),
    UNIQUE (company_id, member_id, slot),  -- the limit of open ones, and its race guard
    CHECK ((state = 'open') = (slot IS NOT NULL)),
    CHECK ((state = 'open') = (closed_at IS NULL)),
    CHECK ((state = 'answered') = (answer_sealed IS NOT NULL)),
    CHECK (state = 'answered' OR answered_by IS NULL)
);
COMMENT ON TABLE clarification IS
    'A question of a member about one edition. Question and answer are sealed under the key of '
    'whoever asked. slot numbers the open ones of a member. closed_at is when it was answered or '
    'withdrawn. answered_by is NULL once whoever answered was erased.';
ALTER TABLE clarification ADD CONSTRAINT clarification_text
    FOREIGN KEY (company_id, document, edition, language)
    REFERENCES policy_text (company_id, document, edition, language);
CREATE INDEX clarification_of_member ON clarification (company_id, member_id, clarification_id);
CREATE INDEX clarification_open_first
    ON clarification (company_id, (state <> 'open'), clarification_id) WHERE state <> 'withdrawn';
CREATE INDEX clarification_answered_by ON clarification (company_id, answered_by)
    WHERE answered_by IS NOT NULL;

ALTER TABLE clarification ENABLE ROW LEVEL SECURITY;
ALTER TABLE clarification FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON clarification TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, DELETE ON clarification TO jolda_app;
-- What was asked, of which edition and by whom never changes.
GRANT UPDATE (state, slot, closed_at, answered_by, answer_sealed) ON clarification TO jolda_app;

-- Nobody could ask before this: of older acceptances nothing was asked, and the defaults are true.
ALTER TABLE policy_acceptance
    ADD COLUMN clarifications_answered    uuid[]        NOT NULL DEFAULT '{}',
    ADD COLUMN clarifications_answered_at timestamptz[] NOT NULL DEFAULT '{}',
    ADD COLUMN clarifications_open        integer       NOT NULL DEFAULT 0
        CHECK (clarifications_open >= 0),
    ADD CONSTRAINT policy_acceptance_clarifications
        CHECK (cardinality(clarifications_answered) = cardinality(clarifications_answered_at));
