package compare

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/wiretest"
)

const usersPath = "/management/v1/users/"

// restCall is a call of the first method over REST.
func restCall(why Reason, path, body string, headers ...string) Call {
	call := newCall(adapter.Methods()[0], REST, "", why, "", "", headers...)
	call.Path, call.Body = path, []byte(body)
	return call
}

// frame is a call's message over gRPC.
func frame(user, password string) []byte {
	return newCall(adapter.Methods()[1], GRPC, "", "", user, password).Body
}

func testPlan(t *testing.T) *Plan {
	t.Helper()
	plan, err := NewPlan(Config{Token: "the-token", User: "3001", OtherUser: "3004"})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// Every call of the plan has a reason that is true of it, each reason is some call's, and a
// password goes to nobody with a token.
func TestEveryCallHasAReason(t *testing.T) {
	t.Parallel()
	w := testPlan(t)
	reasons := map[Reason]int{}
	for _, call := range w.calls {
		reasons[call.Why]++
		if err := w.checkWritesNothing(call); err != nil {
			t.Errorf("%s %s: %v", call.Protocol, call.What, err)
		}
		sent := string(call.Body)
		if strings.Contains(sent, w.password) && strings.Contains(call.Header.Get("Authorization"), w.Token) && call.Why != NoUser {
			t.Errorf("%s %s: a password goes with the token", call.Protocol, call.What)
		}
	}
	for _, reason := range []Reason{NoToken, NoUser, NoPassword, Unreadable, NotACall} {
		if reasons[reason] == 0 {
			t.Errorf("no call: %s", reason)
		}
	}
}

// A call whose reason is not true is refused, whatever hides that.
func TestCallsThatCouldWriteAreRefused(t *testing.T) {
	t.Parallel()
	w := testPlan(t)
	const initialize = usersPath + "3001/password/_initialize"
	bearer := []string{"Authorization", "Bearer " + w.Token}
	rest := restCall
	rpc := func(why Reason, body []byte) Call {
		call := newCall(adapter.Methods()[1], GRPC, "", why, "", "", bearer...)
		call.Body = body
		return call
	}
	missing := strings.Replace(initialize, "3001", w.missing, 1)
	with := func(call Call, change func(*Call)) Call {
		change(&call)
		return call
	}
	// What other methods would do with a body without a password, and with a random id.
	elsewhere := func(why Reason, path, body string) Call {
		return with(rpc(why, frame(body, "")), func(c *Call) { c.Path = path })
	}
	const service = "/zitadel.management.v1.ManagementService/"
	valid := `{"password":"Sup3rPassw0rd!"}`
	for name, call := range map[string]Call{
		"no reason":                          rest("", initialize, noPassword),
		"another reason":                     rest("It will be fine.", initialize, noPassword),
		"token":                              rest(NoToken, initialize, valid, bearer...),
		"another token":                      rest(NoToken, initialize, valid, "Authorization", "Bearer another"),
		"token in another case":              rest(NoToken, initialize, valid, "Authorization", "bearer another"),
		"token as another kind":              rest(NoToken, initialize, valid, "Authorization", "Basic "+w.Token),
		"token in another header":            rest(NoToken, initialize, valid, "Origin", w.Token),
		"token in the query":                 rest(NoToken, initialize+"?access_token="+w.Token, valid),
		"token in the body":                  rest(NoToken, initialize, w.Token),
		"cookie":                             rest(NoToken, initialize, valid, "Cookie", "session=1"),
		"another method by a header":         rest(NotACall, initialize+"/", "{}", "X-Http-Method-Override", "POST"),
		"user who may exist":                 rest(NoUser, initialize, valid, bearer...),
		"user who may exist, escaped":        rest(NoUser, usersPath+"%33001/password", valid, bearer...),
		"user behind dots":                   rest(NoUser, usersPath+w.missing+"/../3001/password", valid, bearer...),
		"user in a query":                    rest(NoUser, missing+"?userId=3001", valid, bearer...),
		"user of 200 characters":             rest(NoUser, usersPath+strings.Repeat("9", maxUserIDRunes)+"/password", valid, bearer...),
		"user on another path":               rest(NoUser, "/management/v1/users/"+w.missing+"/_lock", valid, bearer...),
		"user over gRPC":                     rpc(NoUser, frame("3001", "Sup3rPassw0rd!")),
		"user over gRPC, twice":              rpc(NoUser, slices.Concat(frame("3001", "Sup3rPassw0rd!"), frame(w.missing, ""))),
		"user over gRPC, behind the frame":   rpc(NoUser, slices.Concat(frame("3001", "Sup3rPassw0rd!"), frame(w.missing, "")[5:])),
		"no user that can be read":           rpc(NoUser, []byte("\x00\x00\x00\x00\x02\x0A")),
		"password":                           rest(NoPassword, initialize, valid, bearer...),
		"password of signs":                  rest(NoPassword, initialize, `{"password":"{}"}`, bearer...),
		"password of a space":                rest(NoPassword, initialize, `{"password":" "}`, bearer...),
		"password escaped":                   rest(NoPassword, initialize, `{"password":"\u0041"}`, bearer...),
		"password in the first document":     rest(NoPassword, initialize, valid+"{}", bearer...),
		"password in the last of two":        rest(NoPassword, initialize, `{"password":"","password":"Sup3r"}`, bearer...),
		"password in the first of two":       rest(NoPassword, initialize, `{"password":"Sup3r","password":""}`, bearer...),
		"password of the field's name":       rest(NoPassword, initialize, `{"password":"password"}`, bearer...),
		"password under another case":        rest(NoPassword, initialize, `{"Password":"Sup3r"}`, bearer...),
		"number":                             rest(NoPassword, initialize, `{"password":1}`, bearer...),
		"password over gRPC":                 rpc(NoPassword, frame("3001", "Sup3rPassw0rd!")),
		"password over gRPC, unreadable":     rpc(Unreadable, frame("3001", "Sup3rPassw0rd!")[:20]),
		"password over gRPC, wrong length":   rpc(Unreadable, append([]byte{0, 0, 0, 0, 1}, "Sup3rPassw0rd!"...)),
		"password over gRPC, second frame":   rpc(NoPassword, slices.Concat(frame("3001", ""), frame("3001", "Sup3rPassw0rd!"))),
		"password in an unknown field":       rpc(NoPassword, []byte("\x00\x00\x00\x00\x08\x7A\x06Sup3r!")),
		"password in text mode":              rpc(Unreadable, []byte("AAAAACQKEjQwMDg1MDMzNjQ4MDIzNDUzNBIOU3VwM3JQYXNzdzByZCE=")),
		"readable":                           rpc(Unreadable, frame("3001", "")),
		"unreadable with text":               rest(Unreadable, initialize, `{"password":"Sup3r`, bearer...),
		"a call after all":                   rest(NotACall, initialize, "{}", bearer...),
		"a call after all, over gRPC":        rpc(NotACall, frame("", "")),
		"no call, with a password":           rest(NotACall, initialize+"/", valid, bearer...),
		"no call over gRPC, and a password":  with(rpc(NotACall, frame("3001", "Sup3r")), func(c *Call) { c.Path += "Nope" }),
		"GET with a password":                with(rest(NotACall, initialize, valid, bearer...), func(c *Call) { c.verb = http.MethodGet }),
		"another method":                     rest(NoPassword, usersPath+"3001/_deactivate", "{}", bearer...),
		"another method, by dots":            rest(NoPassword, usersPath+"3001/../../orgs/me/password", "{}", bearer...),
		"another method by dots, as no call": rest(NotACall, usersPath+"3001/../../orgs/me/password", "{}", bearer...),
		"another method, before a query":     rest(Unreadable, usersPath+"3001/_lock?x=/password", "{", bearer...),
		"another method, no body":            rest(NoPassword, usersPath+"3001/_lock", "", bearer...),
		"another method, unreadable":         rest(Unreadable, usersPath+"3001/_lock", "{", bearer...),
		"another method, as no call":         rest(NotACall, usersPath+"3001/_lock", "{}", bearer...),
		"another path, as no call":           rest(NotACall, "/management/v1/orgs/me/_deactivate", "{}", bearer...),
		"another method, over gRPC":          elsewhere(NoPassword, service+"DeactivateUser", "3001"),
		"another service, over gRPC":         elsewhere(NoPassword, "/zitadel.admin.v1.AdminService/SetHumanPassword", "3001"),
		"another method, random id":          elsewhere(NoUser, service+"AddOrg", w.missing),
		"another, no call over gRPC":         elsewhere(NotACall, service+"DeactivateUser", "3001"),
		"DELETE":                             with(rest(NotACall, initialize, "", bearer...), func(c *Call) { c.verb = http.MethodDelete }),
		"DELETE of the user":                 with(rest(NotACall, usersPath+"3001", "", bearer...), func(c *Call) { c.verb = http.MethodDelete }),
		"PATCH over gRPC":                    with(rpc(NotACall, frame("", "")), func(c *Call) { c.verb = http.MethodPatch }),
		"nobody, but another verb":           with(rest(NoUser, missing, valid, bearer...), func(c *Call) { c.verb = http.MethodPut }),
		"no password, but another verb":      with(rest(NoPassword, initialize, noPassword, bearer...), func(c *Call) { c.verb = http.MethodPut }),
	} {
		if err := w.checkWritesNothing(call); err == nil {
			t.Errorf("%s: it may be sent, want an error", name)
		} else if strings.Contains(err.Error(), "Sup3r") || strings.Contains(err.Error(), w.Token) {
			t.Errorf("%s: %v tells a secret", name, err)
		}
	}
}

// What is refused is not sent, even if it comes into the plan after that was checked.
func TestWhatIsRefusedIsNotSent(t *testing.T) {
	t.Parallel()
	address := "http://" + wiretest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was sent", r.Method, r.URL) }))
	to := wiretest.Upstream(t, address, "localhost")
	plan, err := NewPlan(Config{Native: to, Adapter: to, Token: "the-token", User: "3001"})
	if err != nil {
		t.Fatal(err)
	}
	plan.calls = []Call{restCall(NoPassword, usersPath+"3001/password", `{"password":"Sup3rPassw0rd!"}`, "Authorization", "Bearer the-token")}
	if rows, err := plan.Run(t.Context()); err == nil || len(rows) != 0 {
		t.Errorf("got %d rows and %v, want an error", len(rows), err)
	}
}

// The ids are random, and beyond all that ZITADEL has given.
func TestRandomIDs(t *testing.T) {
	t.Parallel()
	first, second := randomID(), randomID()
	if first == second || len(first) != 18 || first[0] != '9' || !isUserID(first) {
		t.Errorf("got %s and %s, want two ids of 18 digits that begin with 9", first, second)
	}
}
