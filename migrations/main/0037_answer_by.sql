-- Until when a request for erasure has to be answered, and who of the staff asked for it.
-- A request that is open has no such time yet: its clock begins when the job first finds it.
-- Locks: company and erasure_request, for an instant. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

ALTER TABLE company ADD COLUMN erasure_answer_days smallint NOT NULL DEFAULT 3
    CHECK (erasure_answer_days BETWEEN 1 AND 15);
COMMENT ON COLUMN company.erasure_answer_days IS
    'class=plain form=clear retention=company -- So many working days there are to answer a request '
    'for erasure; then silence approves it.';

ALTER TABLE erasure_request ADD COLUMN answer_by timestamptz;
COMMENT ON COLUMN erasure_request.answer_by IS
    'class=personal/erasure form=clear retention=always eraser=none:nobody exporter=list_erasures'
    ' -- At that moment the clock decides a request that is open still. NULL: it was never open, or'
    ' its clock has not begun.';

ALTER TABLE erasure_request ADD COLUMN asked_by uuid;
COMMENT ON COLUMN erasure_request.asked_by IS
    'class=personal/erasure form=clear retention=always eraser=none:staff exporter=none:internal'
    ' -- Which member of staff asked, or wrote down that the driver did, until the request has ended. NULL: the driver themself, or nobody knows.';
