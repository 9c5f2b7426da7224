-- Packages of a driver's own data: how far each is made, its sealed bytes, and links to fetch it.
-- Locks: each table whose comments change, for an instant. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE export_package (
    company_id uuid        NOT NULL,
    export_id  uuid        NOT NULL,
    driver_id  uuid        NOT NULL,
    language   text        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('making', 'ready', 'failed')),
    asked_at   timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    run_id     uuid,
    run_at     timestamptz,
    runs       integer     NOT NULL CHECK (runs >= 0),
    rows_done  bigint      NOT NULL CHECK (rows_done >= 0),
    size_bytes bigint      CHECK (size_bytes > 0),
    ready_at   timestamptz,
    PRIMARY KEY (company_id, export_id),
    CHECK (expires_at > asked_at),
    CHECK ((state = 'ready') = (ready_at IS NOT NULL AND size_bytes IS NOT NULL))
);
-- A driver has one under way at a time, whoever asks at once.
CREATE UNIQUE INDEX export_package_making ON export_package (company_id, driver_id)
    WHERE state = 'making';
CREATE INDEX export_package_of_driver ON export_package (company_id, driver_id, asked_at);

CREATE TABLE export_step (
    company_id   uuid        NOT NULL,
    export_id    uuid        NOT NULL,
    step         text        NOT NULL,
    driver_id    uuid        NOT NULL,
    done_at      timestamptz NOT NULL,
    files_sealed bytea       NOT NULL,
    PRIMARY KEY (company_id, export_id, step)
);

CREATE TABLE export_chunk (
    company_id uuid    NOT NULL,
    export_id  uuid    NOT NULL,
    place      integer NOT NULL CHECK (place >= 0),
    number     integer NOT NULL CHECK (number >= 0),
    driver_id  uuid    NOT NULL,
    sealed     bytea   NOT NULL,
    PRIMARY KEY (company_id, export_id, place, number)
);
-- What is sealed does not get smaller: PostgreSQL need not try.
ALTER TABLE export_chunk ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TABLE export_link (
    company_id uuid        NOT NULL,
    token_hash bytea       NOT NULL CHECK (octet_length(token_hash) = 32),
    export_id  uuid        NOT NULL,
    driver_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (company_id, token_hash)
);
CREATE INDEX export_link_of_package ON export_link (company_id, export_id);

ALTER TABLE export_step ADD CONSTRAINT export_step_package FOREIGN KEY (company_id, export_id)
    REFERENCES export_package (company_id, export_id);
ALTER TABLE export_chunk ADD CONSTRAINT export_chunk_package FOREIGN KEY (company_id, export_id)
    REFERENCES export_package (company_id, export_id);
ALTER TABLE export_link ADD CONSTRAINT export_link_package FOREIGN KEY (company_id, export_id)
    REFERENCES export_package (company_id, export_id);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['export_package', 'export_step', 'export_chunk', 'export_link'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO jolda_app USING (company_id = current_company())', name);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON export_package TO jolda_app;
GRANT SELECT, INSERT, DELETE ON export_step, export_chunk, export_link TO jolda_app;

COMMENT ON TABLE export_package IS
    'A package of all that is kept of a driver, which they asked for. Who makes it has it while '
    'run_at is young; whoever takes it over writes another run_id, and what the first one still '
    'writes is refused.';
COMMENT ON TABLE export_chunk IS
    'The bytes of a package in order of place and number, sealed with the driver''s key of the day '
    'on which it was asked for.';
COMMENT ON TABLE export_step IS
    'A step of a package that is done, and the list of the files that it wrote.';
COMMENT ON TABLE export_link IS
    'Lets whoever has the token fetch the package once; the row goes as it is fetched.';

DO $$
DECLARE
    mapped record;
    attribute record;
BEGIN
    FOR mapped IN SELECT * FROM (VALUES
        ('export_package', 'company_id run_id run_at runs', 'class=plain form=clear retention=exports'),
        ('export_package',
         'export_id driver_id language state asked_at expires_at rows_done size_bytes ready_at',
         'class=personal/export form=clear retention=exports eraser=erase_exports exporter=list_exports'),
        ('export_step', 'company_id', 'class=plain form=clear retention=exports'),
        ('export_step', 'export_id step driver_id done_at',
         'class=personal/export form=clear retention=exports eraser=erase_exports exporter=none:internal'),
        ('export_step', 'files_sealed',
         'class=personal/export form=sealed retention=exports eraser=erase_exports exporter=none:package'),
        ('export_chunk', 'company_id', 'class=plain form=clear retention=exports'),
        ('export_chunk', 'export_id place number driver_id',
         'class=personal/export form=clear retention=exports eraser=erase_exports exporter=none:internal'),
        ('export_chunk', 'sealed',
         'class=personal/export form=sealed retention=exports eraser=erase_exports exporter=none:package'),
        ('export_link', 'company_id', 'class=plain form=clear retention=exports'),
        ('export_link', 'token_hash',
         'class=personal/export form=hashed retention=exports eraser=erase_exports exporter=none:secret'),
        ('export_link', 'export_id driver_id created_at expires_at',
         'class=personal/export form=clear retention=exports eraser=erase_exports exporter=none:internal')
    ) AS t (relation, names, said)
    LOOP
        FOR attribute IN
            SELECT a.attname AS name
              FROM pg_attribute a
              JOIN unnest(string_to_array(mapped.names, ' ')) AS n (name) ON n.name = a.attname
             WHERE a.attrelid = mapped.relation::regclass
        LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', mapped.relation, attribute.name,
                           mapped.said);
        END LOOP;
    END LOOP;
END
$$;

-- What the company had to be asked for so far, the package gives.
DO $$
DECLARE
    mapped record;
    attribute record;
BEGIN
    FOR mapped IN SELECT * FROM (VALUES
        ('alert', 'driver_id kind occurrence raised_at calm_since cleared_at acknowledged_at '
         'particulars_sealed'),
        ('controller_move', 'driver_id kept lapsed moved_at'),
        ('controller_told', 'member_id notice_id told_at'),
        ('customer_link', 'driver_id'),
        ('device_notice', 'device_id edition member_id language sha256 acknowledged_at'),
        ('device_permission', 'device_id member_id state changed_at'),
        ('latest_position', 'driver_id recorded_at blob'),
        ('ledger_entry', 'recorded_at act actor_kind subject_id detail_sealed facts'),
        ('member', 'created_at'),
        ('notice_event', 'notice_id channel number member_id event reason at'),
        ('plan_fact_report', 'driver_id computed_at since sealed sums_sealed'),
        ('recording_window', 'driver_id opened_at expires_at closed_at'),
        ('refusal_count', 'driver_id day reason count'),
        ('route', 'driver_id assigned_at'),
        ('set_apart', 'driver_id before positions'),
        ('shift', 'driver_id started_at ends_by paused_at ended_at ended_by'),
        ('stop_event', 'driver_id event_id received_at event_sealed'),
        ('vehicle', 'name plate')
    ) AS t (relation, names)
    LOOP
        FOR attribute IN
            SELECT a.attname AS name, col_description(a.attrelid, a.attnum) AS text
              FROM pg_attribute a
              JOIN unnest(string_to_array(mapped.names, ' ')) AS n (name) ON n.name = a.attname
             WHERE a.attrelid = mapped.relation::regclass
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', mapped.relation, attribute.name,
                           replace(attribute.text, 'exporter=none:on_request',
                                   'exporter=download_export'));
        END LOOP;
    END LOOP;
END
$$;
