-- The schema of the first release. Times are milliseconds since the epoch, booleans 0 and 1, payloads
-- JSON bytes as they arrived. Ids are those of base/id.h: they carry their creation time, so a row with
-- such a key needs no created_at. Every tenant-owned row carries env, the key of its environment.

CREATE TABLE meta (name {text} PRIMARY KEY, value {text} NOT NULL);

CREATE TABLE organizations (id {text} PRIMARY KEY, name {text} NOT NULL, created_at BIGINT NOT NULL);

CREATE TABLE projects (
    id {text} PRIMARY KEY, org_id {text} NOT NULL, name {text} NOT NULL, created_at BIGINT NOT NULL);

CREATE TABLE environments (
    key {id}, id {text} NOT NULL UNIQUE, org_id {text} NOT NULL, project_id {text} NOT NULL,
    name {text} NOT NULL, created_at BIGINT NOT NULL, UNIQUE (org_id, name));

-- env is 0 for a key that works in every environment of its organization. roles: comma list.
CREATE TABLE api_keys (
    id {text} PRIMARY KEY, org_id {text} NOT NULL, env BIGINT NOT NULL, name {text} NOT NULL,
    prefix {text} NOT NULL, hash {text} NOT NULL UNIQUE, roles {text} NOT NULL,
    created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, last_used_at BIGINT NOT NULL);

-- A value that changes with every change of its subject and is never used twice: the key of caches.
CREATE TABLE epochs (env BIGINT NOT NULL, subject BIGINT NOT NULL, epoch BIGINT NOT NULL,
    PRIMARY KEY (env, subject)) {strict};

-- config: the registered configuration as canonical JSON. invoked: the first direct invoke marks it.
-- deleted rows stay, for their runs and their history.
CREATE TABLE functions (
    key {id}, env BIGINT NOT NULL, id {text} NOT NULL, version BIGINT NOT NULL,
    status BIGINT NOT NULL, mode BIGINT NOT NULL, config {blob} NOT NULL, invoked BIGINT NOT NULL,
    deleted BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    UNIQUE (env, id));

-- seq: position on the log, empty until the message is numbered. entity_*: only events of a stream;
-- a stream has no head row, its version is the last entry of the unique index.
CREATE TABLE events (
    id {id}, env BIGINT NOT NULL, name {text} NOT NULL, data {blob} NOT NULL, metadata {blob},
    version BIGINT NOT NULL, source {text} NOT NULL, idempotency_key {text}, run_id BIGINT,
    seq BIGINT, entity_id {text}, entity_type {text}, entity_version BIGINT);
CREATE INDEX events_env ON events (env, id);
CREATE INDEX events_name ON events (env, name, id);
CREATE UNIQUE INDEX events_stream ON events (env, entity_id, entity_version)
    WHERE entity_id IS NOT NULL;

-- flow: which kind of call used the key first. run_ids: JSON array of texts, the first answer.
CREATE TABLE idempotency (
    env BIGINT NOT NULL, key {text} NOT NULL, flow BIGINT NOT NULL, fn BIGINT NOT NULL,
    event_id BIGINT NOT NULL, run_ids {blob} NOT NULL, PRIMARY KEY (env, key)) {strict};

-- What is listed of a run. execution_seq, token and report remember the segment that ended it, so that
-- its repeated report is recognised.
CREATE TABLE runs (
    id {id}, env BIGINT NOT NULL, fn BIGINT NOT NULL, event_id BIGINT NOT NULL,
    status BIGINT NOT NULL, mode BIGINT NOT NULL, attempt BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL, fn_version BIGINT NOT NULL, worker {text}, actor {text},
    output {blob}, error {blob}, pause_requested BIGINT NOT NULL, pause_reason BIGINT NOT NULL,
    cancellation_cause {text}, parent_run BIGINT, parent_step {text},
    started_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    execution_seq BIGINT NOT NULL, token BIGINT NOT NULL);
CREATE INDEX runs_env ON runs (env, id);
CREATE INDEX runs_fn ON runs (env, fn, id);
CREATE INDEX runs_rare ON runs (env, status, id) WHERE status IN (4, 5, 6, 8);

-- One narrow row for every open run; this row rules who may change it, not the status word.
-- state: 0 ready, 1 claimed, 2 parked (sleep, retry delay, recovery grace); parked until ready_at.
-- reported: kind of the segment's final report (1 completed, 2 failed, 3 yielded), 0 while there is
-- none. step_next: the next free step sequence.
CREATE TABLE queue (
    run_id {id}, env BIGINT NOT NULL, fn BIGINT NOT NULL, state BIGINT NOT NULL,
    ready_at BIGINT NOT NULL, lease_until BIGINT NOT NULL, execution_seq BIGINT NOT NULL,
    token BIGINT NOT NULL, worker BIGINT NOT NULL, acked BIGINT NOT NULL, reported BIGINT NOT NULL,
    step_next BIGINT NOT NULL);
CREATE INDEX queue_ready ON queue (fn, ready_at, run_id) WHERE state = 0;
CREATE INDEX queue_claimed ON queue (worker, run_id) WHERE state = 1;

-- step_hash is str_hash(step_id): a short key, so that storing a new step needs no look before; the
-- text is compared on every hit.
CREATE TABLE steps (
    id {id}, env BIGINT NOT NULL, run_id BIGINT NOT NULL, step_hash BIGINT NOT NULL,
    step_id {text} NOT NULL, name {text} NOT NULL, type BIGINT NOT NULL, sequence BIGINT NOT NULL,
    status BIGINT NOT NULL, input {blob}, output {blob}, error {blob}, attempt BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL, started_at BIGINT NOT NULL, ended_at BIGINT NOT NULL,
    wake_at BIGINT NOT NULL, original_output {blob}, patched_at BIGINT NOT NULL, patched_by {text},
    compensation_for {text});
CREATE UNIQUE INDEX steps_run ON steps (run_id, step_hash);

-- What has a time of its own. A timer that is no longer wanted fires, looks and does nothing.
CREATE TABLE timers (
    due BIGINT NOT NULL, id BIGINT NOT NULL, env BIGINT NOT NULL, kind BIGINT NOT NULL,
    run_id BIGINT NOT NULL, execution_seq BIGINT NOT NULL, step BIGINT NOT NULL,
    PRIMARY KEY (due, id)) {strict};

-- key: hash of environment and worker id.
CREATE TABLE workers (
    key {id}, env BIGINT NOT NULL, id {text} NOT NULL, hostname {text} NOT NULL,
    functions {blob} NOT NULL, max_jobs BIGINT NOT NULL, labels {blob} NOT NULL, sdk {text} NOT NULL,
    runtime {text} NOT NULL, transport BIGINT NOT NULL, registered_at BIGINT NOT NULL,
    last_seen BIGINT NOT NULL);

-- Outbox and message log at once: the messages of one transaction in one row. The key is drawn by the
-- database while the transaction holds the rows that its messages are about, so that the rows of one
-- run are in order whoever wrote them. Positions are empty on
-- PostgreSQL until the relay has numbered the row. end_bytes: bytes of all records up to and with this
-- row, so that the size of the log is one subtraction. The newest row is never deleted: positions
-- continue from it.
CREATE TABLE log (
    id {serial}, first_pos BIGINT, last_pos BIGINT, end_bytes BIGINT, created_at BIGINT NOT NULL,
    count BIGINT NOT NULL, crc BIGINT NOT NULL, filter BIGINT NOT NULL, records {blob} NOT NULL);
CREATE INDEX log_pos ON log (first_pos);
CREATE INDEX log_unnumbered ON log (id) WHERE first_pos IS NULL;

-- Totals, added to once per transaction. shard keeps concurrent writers apart.
CREATE TABLE counters (
    env BIGINT NOT NULL, fn BIGINT NOT NULL, kind BIGINT NOT NULL, shard BIGINT NOT NULL,
    n BIGINT NOT NULL, PRIMARY KEY (env, fn, kind, shard)) {strict};
