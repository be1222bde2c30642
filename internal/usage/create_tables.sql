CREATE TABLE calls (
	day          TEXT   NOT NULL,
	method       TEXT   NOT NULL,
	caller       TEXT   NOT NULL,
	organization TEXT   NOT NULL,
	client       TEXT   NOT NULL,
	protocol     TEXT   NOT NULL,
	way          TEXT   NOT NULL,
	outcome      TEXT   NOT NULL,
	calls        BIGINT NOT NULL,
	first_ms     BIGINT NOT NULL,
	last_ms      BIGINT NOT NULL,
	PRIMARY KEY (day, method, caller, organization, client, protocol, way, outcome)
);

-- The last batch of each process that writes, so that none is counted twice.
CREATE TABLE writers (
	writer TEXT   PRIMARY KEY,
	batch  BIGINT NOT NULL,
	day    TEXT   NOT NULL
);

-- What replicas share.
CREATE TABLE secrets (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
);
