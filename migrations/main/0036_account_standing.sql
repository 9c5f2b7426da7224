-- How an account stands beside its state: since when, by whom and why it is blocked or off-boarded,
-- until when who left still reads, and when it was joined and used. And after how many days without
-- any use a company's accounts are blocked.
-- Nobody has been idle before there was such a rule: accounts count as used now.
-- Locks: member, while its rows are read once; company, while its rows are read. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE account_standing (
    company_id      uuid NOT NULL,
    member_id       uuid NOT NULL,
    joined_at       timestamptz,
    used_at         timestamptz,
    warned_at       timestamptz,
    reason          text CHECK (reason <> ''),
    acted_by        text CHECK (acted_by <> ''),
    since           timestamptz,
    order_reference text CHECK (char_length(order_reference) BETWEEN 1 AND 60),
    reads_until     timestamptz,
    PRIMARY KEY (company_id, member_id),
    CHECK ((reason IS NULL) = (acted_by IS NULL) AND (reason IS NULL) = (since IS NULL)),
    CHECK (reason IS NOT NULL OR (order_reference IS NULL AND reads_until IS NULL))
);
CREATE INDEX account_standing_reading ON account_standing (company_id, reads_until)
    WHERE reads_until IS NOT NULL;
COMMENT ON TABLE account_standing IS
    'What is known of an account beside its state. Without a row: nothing of the kind.';
COMMENT ON COLUMN account_standing.company_id IS
    'class=plain form=clear retention=erasure';
COMMENT ON COLUMN account_standing.member_id IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account';
COMMENT ON COLUMN account_standing.joined_at IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account'
    ' -- When an invitation was accepted first. NULL: never. Of accounts older than this column, when'
    ' they were made.';
COMMENT ON COLUMN account_standing.used_at IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account'
    ' -- The last log-in, or when the rule about idle accounts began.';
COMMENT ON COLUMN account_standing.warned_at IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account'
    ' -- The last warning that the account will be switched off unless it is used.';
COMMENT ON COLUMN account_standing.reason IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account'
    ' -- Why the account is blocked or off-boarded.';
COMMENT ON COLUMN account_standing.acted_by IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account'
    ' -- In which role somebody did that; nobody''s name.';
COMMENT ON COLUMN account_standing.since IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account';
COMMENT ON COLUMN account_standing.order_reference IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account'
    ' -- Of a legal order, as the authority numbers it.';
COMMENT ON COLUMN account_standing.reads_until IS
    'class=personal/account form=clear retention=erasure eraser=erase_account exporter=read_account'
    ' -- Until when who was off-boarded logs in to read and export. NULL: not limited, or over.';

-- The owner is bound by row-level security as everybody is, and no policy is for the owner.
ALTER TABLE member NO FORCE ROW LEVEL SECURITY;
INSERT INTO account_standing (company_id, member_id, joined_at, used_at)
SELECT company_id, member_id, CASE WHEN state <> 'invited' THEN created_at END, moment.at
  FROM member, (SELECT now() AS at) AS moment;
ALTER TABLE member FORCE ROW LEVEL SECURITY;

ALTER TABLE account_standing ADD CONSTRAINT account_standing_member
    FOREIGN KEY (company_id, member_id) REFERENCES member (company_id, member_id);

ALTER TABLE account_standing ENABLE ROW LEVEL SECURITY;
ALTER TABLE account_standing FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON account_standing TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT, UPDATE, DELETE ON account_standing TO jolda_app;

ALTER TABLE company ADD COLUMN idle_days smallint NOT NULL DEFAULT 365
    CHECK (idle_days BETWEEN 90 AND 1095);
COMMENT ON COLUMN company.idle_days IS
    'class=plain form=clear retention=company -- An account of a driver that was not used for so many'
    ' times 24 hours is blocked, after two warnings.';
