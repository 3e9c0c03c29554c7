-- Scheduling and flow control.

-- A run of a function with a limit passes lanes. lane, actor: which; holds: in which it has a slot (bits);
-- waits: the one in which it stands in line (state 3: laned, no claim sees it); bound: only this worker may
-- take it. All are 0 for functions without limits.
ALTER TABLE queue ADD COLUMN lane BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN actor BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN waits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN holds BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN bound BIGINT NOT NULL DEFAULT 0;
DROP INDEX queue_ready;
CREATE INDEX queue_ready ON queue (fn, bound, ready_at, run_id) WHERE state = 0;
CREATE INDEX queue_laned ON queue (fn, waits, ready_at, run_id) WHERE state = 3;
CREATE INDEX queue_bound ON queue (bound) WHERE bound <> 0;

-- key: hash of kind and value. admitted, waiting: how many rows of queue have a slot in it, or stand in
-- line. cap: the limit when it was touched last. worker: owner of an actor. A row that nobody needs is
-- deleted.
CREATE TABLE lanes (
    fn BIGINT NOT NULL, key BIGINT NOT NULL, env BIGINT NOT NULL, admitted BIGINT NOT NULL,
    waiting BIGINT NOT NULL, cap BIGINT NOT NULL, worker BIGINT NOT NULL, PRIMARY KEY (fn, key)) {strict};
CREATE INDEX lanes_cap ON lanes (fn, cap) WHERE waiting > 0;
CREATE INDEX lanes_room ON lanes (fn) WHERE waiting > 0 AND admitted < cap;
CREATE INDEX lanes_worker ON lanes (worker) WHERE worker <> 0;

-- Functions whose limits changed: a job takes the new ones to those who wait.
CREATE TABLE flow_changes (fn {id}, env BIGINT NOT NULL);

-- Events held back: the latest of a burst starts one run when the burst is over. fires_max: not later
-- than that, 0: no such bound. key_hash: of the key, which may be long.
CREATE TABLE debounces (
    fn BIGINT NOT NULL, key_hash BIGINT NOT NULL, env BIGINT NOT NULL, key {text} NOT NULL,
    event_id BIGINT NOT NULL, fn_version BIGINT NOT NULL, period_ms BIGINT NOT NULL,
    armed_at BIGINT NOT NULL, fires_at BIGINT NOT NULL, fires_max BIGINT NOT NULL,
    PRIMARY KEY (fn, key_hash)) {strict};
CREATE INDEX debounces_due ON debounces (fires_at);
CREATE INDEX debounces_env ON debounces (env);

-- Schedules of active functions, one row for each cron trigger. next_at: the tick that comes next;
-- whoever moves it on fires the tick.
CREATE TABLE crons (
    fn BIGINT NOT NULL, ord BIGINT NOT NULL, env BIGINT NOT NULL, cron {text} NOT NULL,
    event {text} NOT NULL, next_at BIGINT NOT NULL, PRIMARY KEY (fn, ord)) {strict};
CREATE INDEX crons_due ON crons (next_at);
