package adapter

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/crossorigin"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1api"
	"zitadel-v1-adapter/internal/v1wire"
)

// A ZITADEL whose v1 has ended has nothing at v1's paths. What v1's router said there, and that its
// methods have ended, is then the adapter's to say.

// whereToRead is told of methods that have ended, unless deprecation.successorLink or
// deprecation.link says it better.
const whereToRead = "https://zitadel.com/docs/apis/introduction"

// Review looks at an answer of ZITADEL's before the client gets it by w. It returns a handler that
// answers in its place if ZITADEL has nothing at the path of a deprecated API, and else nil. An
// answer that has ZITADEL's own Deprecation header keeps that alone.
func (a *Adapter) Review(w http.ResponseWriter, r *http.Request, answer *http.Response) http.Handler {
	if answer.Header["Deprecation"] != nil {
		for name := range a.deprecated.fields {
			w.Header().Del(name)
		}
	}
	protocol := rpcstatus.ProtocolOf(r)
	if a.config.Catalogue == nil || protocol == "" && answer.StatusCode != http.StatusNotFound {
		return nil
	}
	method, found := a.config.Catalogue.FindRequest(r, cleanPath(r.URL.Path))
	if !found || method.API == "assets" || !isNoRoute(answer) {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serveEnded(w, r, protocol, method) })
}

// isNoRoute reports whether ZITADEL's routers answer that there is nothing at a path, or grpc-go
// that there is no such service.
func isNoRoute(answer *http.Response) bool {
	const most = 256 // bytes of such an answer
	read, _ := io.ReadAll(io.LimitReader(answer.Body, most))
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), answer.Body), answer.Body}
	message := cmp.Or(answer.Header.Get("Grpc-Message"), answer.Trailer.Get("Grpc-Message"))
	if strings.HasPrefix(message, "unknown service ") {
		return true
	}
	status, _ := rpcstatus.ParseJSON(read)
	return answer.StatusCode == http.StatusNotFound && status.Message == "Not Found" && len(status.Details) == 0
}

// serveEnded answers as v1's router did, and for a method that it had, that this has ended.
func (a *Adapter) serveEnded(w http.ResponseWriter, r *http.Request, protocol rpcstatus.Protocol, method *v1api.Method) {
	x, r := ingress.ExchangeOf(w, r)
	clean := cleanPath(r.URL.Path)
	if protocol == "" && clean != r.URL.Path {
		redirect(x, r, clean)
		return
	}
	x.Header().Set("X-Robots-Tag", "none")
	refusal := a.ended(method)
	switch isKnown := method.Name != v1api.Unknown; {
	case protocol != "":
		if !isKnown {
			refusal = v1wire.UnknownMethod(r.URL.Path, strings.Trim(path.Dir(r.URL.Path), "/"))
		}
		if protocol != rpcstatus.GRPC {
			a.webCORS.Allow(x, r)
		}
		c := &rpcCall{call: a.newCall(string(protocol), nil, r), Exchange: x, http: r, protocol: protocol}
		c.refuse(refusal)
	case r.Header.Get("Connect-Protocol-Version") != "" && isKnown: // of v2beta; v1 never spoke Connect
		rpcstatus.Write(x, r, refusal)
	default:
		a.restCORS.Allow(x, r)
		refusal.Code = connect.CodeNotFound
		switch {
		case isKnown && !crossorigin.IsPreflight(r):
			rpcstatus.WriteJSON(x, refusal)
		case a.hasOtherVerb(clean) && !crossorigin.IsPreflight(r):
			rpcstatus.WriteMethodNotAllowed(x)
		default:
			a.serveREST(x, r, match{})
		}
	}
}

// hasOtherVerb reports whether v1 had a method at a path, whatever the verb.
func (a *Adapter) hasOtherVerb(clean string) bool {
	verbs := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	return slices.ContainsFunc(verbs, func(verb string) bool {
		method, found := a.config.Catalogue.Find(verb, clean)
		return found && method.Name != v1api.Unknown
	})
}

// ended says that a method has ended, and what takes its place.
func (a *Adapter) ended(method *v1api.Method) *rpcstatus.Status {
	instead := "it names no method of v2 in its place"
	if method.Successor != "" {
		instead = "call zitadel." + method.Successor + " instead"
	}
	where := cmp.Or(a.deprecated.SuccessorLink, a.deprecated.Link, whereToRead)
	return rpcstatus.New(connect.CodeUnimplemented, "ZITADEL has ended "+method.Name+" of its "+method.API+" API: "+instead+", see "+where)
}
