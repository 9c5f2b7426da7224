-- Policies: editions with their notice period, texts by language, acceptances, the controller.
-- What was published is never edited: the application's role may not update any of it.
-- Locks: none on existing tables. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE policy_edition (
    company_id             uuid        NOT NULL,
    document               text        NOT NULL CHECK (document IN
                               ('privacy_notice', 'driver_notice', 'device_notice')),
    edition                integer     NOT NULL CHECK (edition >= 1),
    change_class           text        NOT NULL CHECK (change_class IN
                               ('first', 'protective', 'editorial', 'material', 'adds_purpose')),
    adds_purpose           text        CHECK (adds_purpose IN
                               ('location', 'dispatch_tracking', 'plan_fact', 'customer_link',
                                'notifications', 'marketing')),
    published_at           timestamptz NOT NULL,
    noticed_at             timestamptz NOT NULL,
    effective_at           timestamptz NOT NULL,
    authoritative_language text        NOT NULL DEFAULT 'ru' CHECK (authoritative_language = 'ru'),
    PRIMARY KEY (company_id, document, edition),  -- also the race guard: see store.insert_edition
    CHECK ((change_class = 'first') = (edition = 1)),
    CHECK ((change_class = 'adds_purpose') = (adds_purpose IS NOT NULL)),
    CHECK (noticed_at >= published_at),
    CHECK (effective_at >= noticed_at)
);
-- 720 hours and not '30 days': days are counted in the session's time zone, and one of them is
-- 23 hours long where the clocks change.
ALTER TABLE policy_edition ADD CONSTRAINT policy_edition_notice_period
    CHECK (change_class IN ('first', 'protective')
           OR effective_at >= noticed_at + interval '720 hours');
COMMENT ON TABLE policy_edition IS
    'An edition of a document, noticed 30 days before it is in force. Never updated or deleted.';

CREATE TABLE policy_text (
    company_id uuid    NOT NULL,
    document   text    NOT NULL,
    edition    integer NOT NULL,
    language   text    NOT NULL CHECK (language IN ('ru', 'kk', 'en')),
    sha256     text    NOT NULL,
    text       text    NOT NULL CHECK (text <> ''),
    PRIMARY KEY (company_id, document, edition, language)
);
ALTER TABLE policy_text ADD CONSTRAINT policy_text_hash
    CHECK (sha256 = encode(sha256(convert_to(text, 'UTF8')), 'hex'));
COMMENT ON TABLE policy_text IS
    'The Markdown of an edition in one language. The hash covers these bytes, before the '
    'company''s particulars are filled in.';

CREATE TABLE policy_applied (
    company_id uuid        NOT NULL,
    document   text        NOT NULL,
    edition    integer     NOT NULL,
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, document, edition)
);
COMMENT ON TABLE policy_applied IS
    'Editions in force whose added purpose was suspended for the drivers who had not agreed to it.';

CREATE TABLE policy_acceptance (
    company_id  uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    document    text        NOT NULL,
    edition     integer     NOT NULL,
    language    text        NOT NULL,
    sha256      text        NOT NULL,
    accepted_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, member_id, document, edition, language)
);
COMMENT ON TABLE policy_acceptance IS
    'A member read this text and said so. Never updated; deleted only when the member is erased.';

CREATE TABLE policy_controller (
    company_id      uuid        NOT NULL,
    bin             text        CHECK (bin ~ '^[0-9]{12}$'),
    privacy_contact text        CHECK (privacy_contact <> ''),
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (company_id)
);
COMMENT ON TABLE policy_controller IS
    'What the texts say of the company: its business number, and whom to ask about personal data.';

-- An edition without its prevailing text would bind nobody to anything. Checked at the end of the
-- transaction, because each of the two rows needs the other.
ALTER TABLE policy_edition ADD CONSTRAINT policy_edition_prevailing_text
    FOREIGN KEY (company_id, document, edition, authoritative_language)
    REFERENCES policy_text (company_id, document, edition, language)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE policy_text ADD CONSTRAINT policy_text_edition
    FOREIGN KEY (company_id, document, edition)
    REFERENCES policy_edition (company_id, document, edition);
ALTER TABLE policy_applied ADD CONSTRAINT policy_applied_edition
    FOREIGN KEY (company_id, document, edition)
    REFERENCES policy_edition (company_id, document, edition);
ALTER TABLE policy_acceptance ADD CONSTRAINT policy_acceptance_text
    FOREIGN KEY (company_id, document, edition, language)
    REFERENCES policy_text (company_id, document, edition, language);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['policy_edition', 'policy_text', 'policy_applied',
                                'policy_acceptance', 'policy_controller'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO jolda_app', name);
    END LOOP;
END
$$;
GRANT DELETE ON policy_acceptance TO jolda_app;
GRANT UPDATE ON policy_controller TO jolda_app;
