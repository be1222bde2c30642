-- Since version 2 all deprecated APIs are counted, and so the API is part of the key. What
-- version 1 counted is the Management API.
CREATE TABLE calls_by_api (
	day          TEXT   NOT NULL, -- or a month, such as 2027-01, of calls that were folded
	caller       TEXT   NOT NULL,
	api          TEXT   NOT NULL,
	method       TEXT   NOT NULL,
	organization TEXT   NOT NULL,
	client       TEXT   NOT NULL,
	protocol     TEXT   NOT NULL,
	way          TEXT   NOT NULL,
	outcome      TEXT   NOT NULL,
	calls        BIGINT NOT NULL,
	first_ms     BIGINT NOT NULL,
	last_ms      BIGINT NOT NULL,
	PRIMARY KEY (day, caller, api, method, organization, client, protocol, way, outcome)
);

INSERT INTO calls_by_api
SELECT day, CASE WHEN caller = '' THEN '(no valid token)' ELSE caller END, 'management', method, organization, client, protocol, way, outcome,
	calls, first_ms, last_ms
FROM calls;

DROP TABLE calls;

ALTER TABLE calls_by_api RENAME TO calls;

-- When each process that writes was there, and how many requests it saw, of v1 or not. Version 1
-- did not count everything, and so its days are not covered.
CREATE TABLE coverage (
	day      TEXT   NOT NULL,
	writer   TEXT   NOT NULL,
	requests BIGINT NOT NULL,
	first_ms BIGINT NOT NULL,
	last_ms  BIGINT NOT NULL,
	PRIMARY KEY (day, writer)
);
