-- The register of incidents with personal data: what happened, the clocks of those who are to be
-- told, each time at which it was computed who is affected, and the list, which only grows.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE incident (
    company_id             uuid        NOT NULL,
    incident_id            uuid        NOT NULL,
    state                  text        NOT NULL
        CHECK (state IN ('open', 'assessed', 'closed', 'dismissed')),
    member_id              uuid,
    reported_role          text        NOT NULL
        CHECK (reported_role IN ('driver', 'dispatcher', 'main_user')),
    noticed_at             timestamptz NOT NULL,
    recorded_at            timestamptz NOT NULL,
    authority_due_at       timestamptz NOT NULL,
    authority_reminded_at  timestamptz,
    authority_escalated_at timestamptz,
    members_due_at         timestamptz NOT NULL,
    members_reminded_at    timestamptz,
    members_escalated_at   timestamptz,
    notified_at            timestamptz,
    ended_at               timestamptz,
    what_sealed            bytea       NOT NULL,
    reference_sealed       bytea,
    outcome_sealed         bytea,
    PRIMARY KEY (company_id, incident_id),
    CHECK (noticed_at <= recorded_at),
    CHECK (authority_due_at <= noticed_at + interval '72 hours'),
    CHECK (members_due_at <= noticed_at + interval '72 hours'),
    CHECK ((notified_at IS NULL) = (reference_sealed IS NULL)),
    CHECK ((state IN ('closed', 'dismissed')) = (ended_at IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (outcome_sealed IS NULL)),
    CHECK (state <> 'closed' OR notified_at IS NOT NULL)
);
COMMENT ON TABLE incident IS
    'Somebody may have seen personal data who should not have. Its texts are sealed under the '
    'company''s own key. member_id is who reported it. The clocks run until the authority is notified, and until it is assessed.';
CREATE INDEX incident_running ON incident (company_id, incident_id)
    WHERE state IN ('open', 'assessed');

CREATE TABLE incident_assessment (
    company_id       uuid        NOT NULL,
    incident_id      uuid        NOT NULL,
    round            integer     NOT NULL CHECK (round >= 1),
    cause            text        NOT NULL CHECK (cause <> ''),
    source           text        NOT NULL CHECK (source <> ''),
    member_id        uuid,
    api_token_id     uuid,
    since            timestamptz NOT NULL,
    until            timestamptz NOT NULL,
    categories       text[]      NOT NULL CHECK (cardinality(categories) >= 1),
    consequences     text[]      NOT NULL CHECK (cardinality(consequences) >= 1),
    advice           text[]      NOT NULL CHECK (cardinality(advice) >= 1),
    assessed_at      timestamptz NOT NULL,
    assessed_by      uuid,
    found            integer     NOT NULL CHECK (found >= 0),
    added            integer     NOT NULL CHECK (added BETWEEN 0 AND found),
    erased           integer     NOT NULL CHECK (erased >= 0),
    list_hash        bytea       NOT NULL CHECK (octet_length(list_hash) = 32),
    PRIMARY KEY (company_id, incident_id, round),
    CHECK (since < until)
);
COMMENT ON TABLE incident_assessment IS
    'A time at which it was computed whom an incident affects; member_id is whose account it was. list_hash is over the pseudonyms of '
    'everybody in the list with this round, and stands in the ledger.';
ALTER TABLE incident_assessment ADD CONSTRAINT incident_assessment_of
    FOREIGN KEY (company_id, incident_id) REFERENCES incident (company_id, incident_id);

CREATE TABLE incident_member (
    company_id  uuid        NOT NULL,
    incident_id uuid        NOT NULL,
    pseudonym   uuid        NOT NULL,
    member_id   uuid,
    round       integer     NOT NULL CHECK (round >= 1),
    told_at     timestamptz,
    PRIMARY KEY (company_id, incident_id, pseudonym)
);
COMMENT ON TABLE incident_member IS
    'Whom an incident affects, by their pseudonym. member_id is NULL once the person was erased.';
ALTER TABLE incident_member ADD CONSTRAINT incident_member_round
    FOREIGN KEY (company_id, incident_id, round)
    REFERENCES incident_assessment (company_id, incident_id, round);
CREATE INDEX incident_member_of_member ON incident_member (company_id, member_id)
    WHERE member_id IS NOT NULL;
CREATE INDEX incident_member_untold ON incident_member (company_id, incident_id, pseudonym)
    WHERE told_at IS NULL;

DO $$
DECLARE
    name text;
    mapped record;
    attribute text;
BEGIN
    FOREACH name IN ARRAY ARRAY['incident', 'incident_assessment', 'incident_member'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
    END LOOP;
    FOR mapped IN SELECT * FROM (VALUES
        ('incident', 'company_id incident_id state reported_role noticed_at recorded_at '
         'authority_due_at authority_reminded_at authority_escalated_at members_due_at '
         'members_reminded_at members_escalated_at notified_at ended_at',
         'class=plain form=clear retention=incidents'),
        ('incident', 'member_id',
         'class=personal/work form=clear retention=incidents eraser=erase_incidents exporter=none:on_request'),
        ('incident', 'what_sealed reference_sealed outcome_sealed',
         'class=personal/contact form=sealed retention=incidents eraser=none:evidence exporter=none:evidence'),
        ('incident_assessment', 'company_id incident_id round cause source api_token_id since until '
         'categories consequences advice assessed_at found added erased',
         'class=plain form=clear retention=incidents'),
        ('incident_assessment', 'list_hash', 'class=plain form=hashed retention=incidents'),
        ('incident_assessment', 'member_id assessed_by',
         'class=personal/work form=clear retention=incidents eraser=erase_incidents exporter=none:on_request'),
        ('incident_member', 'company_id incident_id round',
         'class=plain form=clear retention=incidents'),
        ('incident_member', 'pseudonym',
         'class=personal/ledger form=clear retention=incidents eraser=none:pseudonym exporter=none:internal'),
        ('incident_member', 'member_id',
         'class=personal/disclosure form=clear retention=incidents eraser=erase_incidents exporter=list_my_notices'),
        ('incident_member', 'told_at', 'class=plain form=clear retention=incidents')
    ) AS said (of_table, columns, words) LOOP
        FOREACH attribute IN ARRAY string_to_array(mapped.columns, ' ') LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', mapped.of_table, attribute, mapped.words);
        END LOOP;
    END LOOP;
END
$$;
GRANT SELECT, INSERT, DELETE ON incident, incident_assessment, incident_member TO jolda_app;
GRANT UPDATE (state, member_id, authority_reminded_at, authority_escalated_at,
              members_reminded_at, members_escalated_at, notified_at, ended_at,
              reference_sealed, outcome_sealed) ON incident TO jolda_app;
-- An assessment and a list stay as they were; only whom they name may be forgotten.
GRANT UPDATE (member_id, assessed_by) ON incident_assessment TO jolda_app;
GRANT UPDATE (member_id, told_at) ON incident_member TO jolda_app;
