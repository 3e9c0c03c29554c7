-- Push mode.

-- One row for a function and endpoint that has failed. state: engine/breaker.h; until: an open one may be
-- tried then, the probe of a half-open one is given up then; probe: the run that tries.
CREATE TABLE breakers (
    fn BIGINT NOT NULL, endpoint_hash BIGINT NOT NULL, env BIGINT NOT NULL, endpoint {text} NOT NULL,
    state BIGINT NOT NULL, failures BIGINT NOT NULL, last_failure BIGINT NOT NULL, until BIGINT NOT NULL,
    probe BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (fn, endpoint_hash)) {strict};
CREATE INDEX breakers_env ON breakers (env);
CREATE INDEX breakers_old ON breakers (updated_at);

-- Whom a dispatcher serves.
CREATE INDEX functions_push ON functions (key) WHERE mode = 1 AND deleted = 0;
