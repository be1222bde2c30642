-- Since version 4 the rows of a caller stand beside each other, as they are added up: by caller,
-- SQLite needs no sort. PostgreSQL has no WITHOUT ROWID: see migrate.
CREATE TABLE calls_by_caller (
	caller       TEXT   NOT NULL,
	api          TEXT   NOT NULL,
	method       TEXT   NOT NULL,
	day          TEXT   NOT NULL, -- or a month, such as 2027-01, of calls that were folded
	organization TEXT   NOT NULL,
	client       TEXT   NOT NULL,
	protocol     TEXT   NOT NULL,
	way          TEXT   NOT NULL,
	outcome      TEXT   NOT NULL,
	calls        BIGINT NOT NULL,
	first_ms     BIGINT NOT NULL,
	last_ms      BIGINT NOT NULL,
	PRIMARY KEY (caller, api, method, day, organization, client, protocol, way, outcome)
) WITHOUT ROWID;

INSERT INTO calls_by_caller (day, caller, api, method, organization, client, protocol, way, outcome, calls, first_ms, last_ms)
SELECT day, caller, api, method, organization, client, protocol, way, outcome, calls, first_ms, last_ms
FROM calls;

DROP TABLE calls;

ALTER TABLE calls_by_caller RENAME TO calls;

-- For the rows of a day, and of old days. By day alone, SQLite would add up in the order of this index, which is slow.
CREATE INDEX calls_by_day ON calls (LENGTH(day), day);
