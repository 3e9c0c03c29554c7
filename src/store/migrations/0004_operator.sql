-- What operators do and see: recording, resuming, dead letters.

-- recording: 0 the run is not recorded, -1 recorded for good, else for how many milliseconds after its
-- end. resume_from: the step from which it was resumed last.
ALTER TABLE runs ADD COLUMN recording BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN resume_from {text};

-- The audit trail of recorded runs: what one transaction did to one run is one row, packed by
-- engine/audit. The keys grow, drawn by the database while the run is locked. expires_at: on rows
-- written at or after the end of a run that is recorded for a while.
CREATE TABLE audit (
    id {serial}, env BIGINT NOT NULL, run_id BIGINT NOT NULL, expires_at BIGINT,
    pack {blob} NOT NULL);
CREATE INDEX audit_run ON audit (run_id, id);
CREATE INDEX audit_expiry ON audit (expires_at) WHERE expires_at IS NOT NULL;

-- Messages of events that could not be published with the others. dead_at is 0 while they are tried
-- again, at next_at; else nobody touches them but an operator.
CREATE TABLE outbox (
    id {id}, env BIGINT NOT NULL, event_id BIGINT NOT NULL, attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL, dead_at BIGINT NOT NULL, last_error {text} NOT NULL);
CREATE INDEX outbox_due ON outbox (next_at) WHERE dead_at = 0;
CREATE INDEX outbox_dead ON outbox (env, dead_at, id) WHERE dead_at <> 0;
CREATE INDEX outbox_event ON outbox (env, event_id);

-- Which streams a run touched.
CREATE INDEX events_run ON events (run_id, entity_id)
    WHERE run_id IS NOT NULL AND entity_id IS NOT NULL;
