-- What members are told, on which channel it reached them, and who asked for marketing.
-- A notice's text is sealed under its reader's key; what proves the delivery holds no text and no
-- address. There is no foreign key to member: whoever is gone has no notices, and the erasing job
-- looks for their id in every table.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE notice (
    company_id  uuid        NOT NULL,
    notice_id   uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    kind        text        NOT NULL CHECK (kind <> ''),
    dedupe      text        CHECK (dedupe <> ''),
    facts       jsonb       NOT NULL CHECK (jsonb_typeof(facts) = 'object'),
    queued_at   timestamptz NOT NULL,
    prepared_at timestamptz,
    language    text        CHECK (language IN ('ru', 'kk', 'en')),
    text_sealed bytea,
    PRIMARY KEY (company_id, notice_id),
    -- of those without a dedupe there may be any number
    UNIQUE (company_id, member_id, kind, dedupe),
    CHECK ((prepared_at IS NULL) = (text_sealed IS NULL)),
    CHECK ((prepared_at IS NULL) = (language IS NULL))
);
CREATE INDEX notice_of_member ON notice (company_id, member_id, notice_id);
CREATE INDEX notice_unprepared ON notice (company_id, notice_id) WHERE prepared_at IS NULL;
COMMENT ON TABLE notice IS
    'One message to one member. facts are codes, times and ids, and go once the text is written '
    'and sealed: from then on it is what the reader was shown.';

CREATE TABLE notice_person (
    company_id uuid NOT NULL,
    notice_id  uuid NOT NULL,
    member_id  uuid NOT NULL,
    PRIMARY KEY (company_id, notice_id, member_id)
);
CREATE INDEX notice_person_of_member ON notice_person (company_id, member_id);
COMMENT ON TABLE notice_person IS
    'Whom a notice names besides its reader: their erasure takes the notice along.';

CREATE TABLE notice_delivery (
    company_id      uuid        NOT NULL,
    notice_id       uuid        NOT NULL,
    channel         text        NOT NULL CHECK (channel IN ('in_app', 'email', 'sms', 'push')),
    member_id       uuid        NOT NULL,
    state           text        NOT NULL CHECK (state IN
                        ('queued', 'handed_over', 'seen', 'failed', 'withheld')),
    attempts        integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (company_id, notice_id, channel),
    CHECK ((state = 'queued') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX notice_delivery_due ON notice_delivery (company_id, next_attempt_at)
    WHERE state = 'queued';
CREATE INDEX notice_delivery_of_member ON notice_delivery (company_id, member_id, notice_id);
COMMENT ON TABLE notice_delivery IS
    'The outbox: where a notice stands on one channel. failed is the dead letter, withheld was '
    'never sent because the member does not want marketing there.';

CREATE TABLE notice_event (
    company_id uuid        NOT NULL,
    notice_id  uuid        NOT NULL,
    channel    text        NOT NULL CHECK (channel IN ('in_app', 'email', 'sms', 'push')),
    number     integer     NOT NULL CHECK (number >= 1),
    member_id  uuid        NOT NULL,
    event      text        NOT NULL CHECK (event IN
                   ('queued', 'handed_over', 'seen', 'attempt_failed', 'failed', 'withheld')),
    reason     text        CHECK (reason <> ''),
    at         timestamptz NOT NULL,
    PRIMARY KEY (company_id, notice_id, channel, number)
);
CREATE INDEX notice_event_of_member ON notice_event (company_id, member_id);
COMMENT ON TABLE notice_event IS
    'The evidence: everything that ever happened to a delivery, never updated.';

CREATE TABLE notice_preference (
    company_id uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    channel    text        NOT NULL CHECK (channel IN ('email', 'sms', 'push')),
    marketing  boolean     NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id, channel)
);
COMMENT ON TABLE notice_preference IS
    'Whether a member asked for marketing on a channel. No row means no. The row is locked for as '
    'long as a message is being handed over.';

ALTER TABLE notice_person ADD CONSTRAINT notice_person_notice FOREIGN KEY (company_id, notice_id)
    REFERENCES notice (company_id, notice_id);
ALTER TABLE notice_delivery ADD CONSTRAINT notice_delivery_notice
    FOREIGN KEY (company_id, notice_id) REFERENCES notice (company_id, notice_id);
ALTER TABLE notice_event ADD CONSTRAINT notice_event_notice FOREIGN KEY (company_id, notice_id)
    REFERENCES notice (company_id, notice_id);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['notice', 'notice_person', 'notice_delivery', 'notice_event',
                                'notice_preference'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO jolda_app', name);
    END LOOP;
END
$$;
GRANT UPDATE ON notice, notice_delivery, notice_preference TO jolda_app;
