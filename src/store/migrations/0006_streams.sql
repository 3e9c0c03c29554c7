-- Workers on streams. session: the stream that registered the worker last, 0: it polls.
ALTER TABLE workers ADD COLUMN session BIGINT NOT NULL DEFAULT 0;
