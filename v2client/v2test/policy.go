package v2test

import "strings"

// minPasswordBytes is the default policy's minimum length; ZITADEL counts bytes.
const minPasswordBytes = 8

// maxHashBytes is how much bcrypt takes.
const maxHashBytes = 72

// checkPassword is the default password complexity policy, in ZITADEL's order,
// then the hasher's limit.
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
