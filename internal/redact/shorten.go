package redact

// Shorten cuts text sent by a client to 200 bytes and appends "…", so that a client cannot
// fill the log. No id that ZITADEL assigns is longer.
func Shorten(text string) string {
	const maxBytes = 200
	if len(text) > maxBytes {
		return text[:maxBytes] + "…"
	}
	return text
}
