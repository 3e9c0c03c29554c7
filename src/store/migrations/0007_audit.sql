-- The trails of an environment, newest first.
CREATE INDEX audit_env ON audit (env, id);
