-- Waits for events, children, and events that cancel. Events to which a step's event_ref points must
-- be kept as long as the step.

-- kind: 1 a step that waits for an event, 2 a run that an event cancels (then step is 0). event: the
-- name, or empty when pattern holds one with wildcards. path says what is compared, value with what
-- (engine/wait.h); filter: an expression that must hold, too. The keys grow with time, so that an
-- event counts only for rows up to a key. On PostgreSQL the database draws them while the lock on
-- the name is held.
CREATE TABLE waits (
    id {serial}, env BIGINT NOT NULL, kind BIGINT NOT NULL, run_id BIGINT NOT NULL,
    step BIGINT NOT NULL, event {text} NOT NULL, pattern {text} NOT NULL, path {text} NOT NULL,
    value {text} NOT NULL, filter {text});
CREATE INDEX waits_event ON waits (env, event, pattern, path, value, id);
CREATE INDEX waits_run ON waits (run_id);

-- What an event (kind 1) or the end of a child (kind 2) still has to wake, beyond what its own
-- transaction did: worked off in slices, from the place that event, pattern, path and after name.
CREATE TABLE wakes (
    id {id}, env BIGINT NOT NULL, kind BIGINT NOT NULL, subject BIGINT NOT NULL,
    upto BIGINT NOT NULL, event {text} NOT NULL, pattern {text} NOT NULL, path {text} NOT NULL,
    after_id BIGINT NOT NULL);

-- wait_step: what a run parked by a yield waits for. watch: bits of enum job_watch.
ALTER TABLE queue ADD COLUMN wait_step BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN watch BIGINT NOT NULL DEFAULT 0;

-- event_ref: the output of the step is this event; child_run: the run that it invoked.
ALTER TABLE steps ADD COLUMN event_ref BIGINT;
ALTER TABLE steps ADD COLUMN child_run BIGINT;
