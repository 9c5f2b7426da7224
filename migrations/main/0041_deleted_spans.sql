-- Spans of their own track that drivers deleted: nothing is recorded there any more, and what is
-- left to be removed of them is known until it is. And what persons asked for past the API.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE deleted_span (
    company_id         uuid        NOT NULL,
    driver_id          uuid        NOT NULL,
    deletion_id        uuid        NOT NULL,
    since              timestamptz NOT NULL,
    until              timestamptz NOT NULL,
    asked_at           timestamptz NOT NULL,
    positions          bigint      NOT NULL CHECK (positions >= 0),
    done_at            timestamptz,
    backups_hold_until timestamptz,
    PRIMARY KEY (company_id, driver_id, deletion_id),
    CHECK (until > since)
);
COMMENT ON TABLE deleted_span IS
    'A span of their own track that a driver deleted. Its recording windows went with it, so nothing '
    'comes back. positions were stored of it; done_at is NULL until the last of them went.';
CREATE INDEX deleted_span_to_do ON deleted_span (company_id, deletion_id) WHERE done_at IS NULL;

ALTER TABLE deleted_span ENABLE ROW LEVEL SECURITY;
ALTER TABLE deleted_span FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON deleted_span TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, DELETE ON deleted_span TO jolda_app;
GRANT UPDATE (positions, done_at) ON deleted_span TO jolda_app;

DO $$
DECLARE
    attribute text;
BEGIN
    COMMENT ON COLUMN deleted_span.company_id IS 'class=plain form=clear retention=erasure';
    FOREACH attribute IN ARRAY ARRAY['driver_id', 'deletion_id', 'since', 'until', 'asked_at',
                                     'positions', 'done_at', 'backups_hold_until'] LOOP
        EXECUTE format('COMMENT ON COLUMN deleted_span.%I IS %L', attribute,
            'class=personal/track form=clear retention=erasure eraser=erase_tracking '
            'exporter=list_track_deletions');
    END LOOP;
END
$$;
COMMENT ON COLUMN deleted_span.backups_hold_until IS
    'class=personal/track form=clear retention=erasure eraser=erase_tracking '
    'exporter=list_track_deletions -- From then on no copy of main can be read there any more, with '
    'the keys of that time. NULL: not before the driver is erased.';

-- What persons asked for by letter, e-mail or phone, as the staff wrote it down in their name.
CREATE TABLE person_request (
    company_id        uuid        NOT NULL,
    person_request_id uuid        NOT NULL,
    driver_id         uuid        NOT NULL,
    kind              text        NOT NULL CHECK (kind IN ('access', 'correction', 'erasure',
                                                           'restriction', 'complaint',
                                                           'preservation')),
    came_by           text        NOT NULL CHECK (came_by IN ('email', 'letter', 'phone',
                                                              'in_person')),
    received_at       timestamptz NOT NULL,
    recorded_at       timestamptz NOT NULL,
    recorded_by       uuid        NOT NULL,
    said_sealed       bytea       NOT NULL,
    evidence_sealed   bytea,
    answer_by         timestamptz NOT NULL,
    state             text        NOT NULL CHECK (state IN ('open', 'answered')),
    answer_sealed     bytea,
    answered_at       timestamptz,
    answered_by       uuid,
    reminded_at       timestamptz,
    escalated_at      timestamptz,
    PRIMARY KEY (company_id, person_request_id),
    CHECK (answer_by > received_at AND answer_by <= received_at + interval '30 days'),
    CHECK ((state = 'answered') = (answer_sealed IS NOT NULL)),
    CHECK (num_nulls(answer_sealed, answered_at, answered_by) IN (0, 3))
);
COMMENT ON TABLE person_request IS
    'A request of a driver that came to the company past the API. What was asked, where that lies '
    'and what was answered is sealed under the driver''s key. reminded_at and escalated_at are when '
    'people were told of its time.';
CREATE INDEX person_request_of_driver ON person_request (company_id, driver_id, person_request_id);
CREATE INDEX person_request_waiting ON person_request (company_id, answer_by) WHERE state = 'open';

ALTER TABLE person_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE person_request FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON person_request TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, DELETE ON person_request TO jolda_app;
-- What was asked, when and by what way never changes.
GRANT UPDATE (state, answer_sealed, answered_at, answered_by, reminded_at, escalated_at)
    ON person_request TO jolda_app;

DO $$
DECLARE
    mapped record;
    attribute text;
BEGIN
    FOR mapped IN SELECT * FROM (VALUES
        ('company_id', 'class=plain form=clear retention=erasure'),
        ('person_request_id driver_id kind came_by received_at recorded_at answer_by state '
         'answered_at reminded_at escalated_at',
         'class=personal/work form=clear retention=erasure eraser=erase_person_requests exporter=list_my_requests'),
        ('recorded_by answered_by',
         'class=personal/work form=clear retention=erasure eraser=erase_person_requests exporter=list_my_requests'),
        ('said_sealed evidence_sealed answer_sealed',
         'class=personal/contact form=sealed retention=erasure eraser=erase_person_requests exporter=list_my_requests')
    ) AS v (names, words) LOOP
        FOREACH attribute IN ARRAY string_to_array(mapped.names, ' ') LOOP
            EXECUTE format('COMMENT ON COLUMN person_request.%I IS %L', attribute, mapped.words);
        END LOOP;
    END LOOP;
END
$$;
