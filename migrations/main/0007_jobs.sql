-- Who may touch the job queue: the application puts jobs in with its own transactions, the job
-- runner takes them out. Exempt from the tenant rules: payloads hold ids only.
-- Locks: none on existing tables. Reversal: forward-only.
GRANT USAGE ON SCHEMA jobs TO jolda_app, jolda_jobs;
GRANT SELECT, INSERT ON jobs.pgqueuer, jobs.pgqueuer_log TO jolda_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO jolda_jobs;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO jolda_app, jolda_jobs;
