package v2test

// Release is a release of ZITADEL, as far as its services and protocols differ.
type Release string

// The releases that were tried.
const (
	Main Release = "main" // of July 2026
	V42  Release = "v4.2"
	V34  Release = "v3.4"
	V271 Release = "v2.71"
	V258 Release = "v2.58"
)

// Releases are all of them, the newest first.
func Releases() []Release { return []Release{Main, V42, V34, V271, V258} }

// SpeaksConnect reports whether the release speaks the Connect protocol, which ZITADEL
// does from v4.0 on.
func (r Release) SpeaksConnect() bool { return r == Main || r == V42 }

// setsOwnPassword reports whether SetPassword needs no role for one's own password: on
// v2.66 to v3.4.6, and on v4.0 to v4.2.
func (r Release) setsOwnPassword() bool { return r == V42 || r == V271 }

// needsOpenID reports whether userinfo names the subject only of tokens with the scope
// openid, as before v2.63. Tokens whose userinfo names no organization have no such scope.
func (r Release) needsOpenID() bool { return r == V258 }
