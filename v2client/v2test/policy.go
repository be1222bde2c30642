package v2test

import "strings"

// minPasswordBytes is the minimum length in the default policy. ZITADEL counts bytes.
const minPasswordBytes = 8

// maxHashBytes is the longest password that bcrypt accepts.
const maxHashBytes = 72

// checkPassword checks the default password complexity policy, in ZITADEL's order, and
// then the limit of the hash function.
func checkPassword(password string) *fault {
	isLower := func(r rune) bool { return r >= 'a' && r <= 'z' }
	isUpper := func(r rune) bool { return r >= 'A' && r <= 'Z' }
	isNumber := func(r rune) bool { return r >= '0' && r <= '9' }
	isSymbol := func(r rune) bool { return !isLower(r) && !isUpper(r) && !isNumber(r) }
	switch {
	case len(password) < minPasswordBytes:
		return faultTooShort
	case !strings.ContainsFunc(password, isLower):
		return faultNoLower
	case !strings.ContainsFunc(password, isUpper):
		return faultNoUpper
	case !strings.ContainsFunc(password, isNumber):
		return faultNoNumber
	case !strings.ContainsFunc(password, isSymbol):
		return faultNoSymbol
	case len(password) > maxHashBytes:
		return faultHash
	}
	return nil
}
