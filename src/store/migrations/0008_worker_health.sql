-- What is known of a worker's health: 1 no sign of life for a while, 2 it takes no more jobs.
ALTER TABLE workers ADD COLUMN health BIGINT NOT NULL DEFAULT 0;
