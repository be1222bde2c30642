package redact

// Shorten keeps a client's megabytes out of the log. No id of ZITADEL's is longer than
// what it keeps, 200 bytes.
func Shorten(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
