-- The login names of callers, which are personal data: kept no longer than the callers' rows.
CREATE TABLE names (
	id         TEXT PRIMARY KEY,
	login_name TEXT NOT NULL
);
