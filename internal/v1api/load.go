package v1api

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// tables are the facts, one line a method, in the order in which ZITADEL registers them.
//
//   - methods.tsv: the four v1 APIs, from ZITADEL's service definitions of July 2026.
//   - v2beta.tsv: v2beta, from the definitions in the npm package @zitadel/node 3.0.28, and
//     AddOrganization from its 2.0.37. The successor is what the notice of a method names, else
//     the v2 service's method of the same name; all of them exist. AddOrganization's REST path
//     is CreateOrganization's by now, and three methods share theirs with v2.
//   - assets.tsv: ZITADEL's list of assets. A GET of any other path is for a file of the owner
//     in its first segment.
//   - successors.tsv: methods of v2 that are deprecated themselves. Nothing takes the place
//     of the last one.
//
//go:embed methods.tsv v2beta.tsv assets.tsv successors.tsv
var tables embed.FS

// Load makes the Catalogue. Its data is part of the program: an error says that it is
// malformed, and where.
func Load() (*Catalogue, error) { return load(tables) }

func load(from fs.FS) (*Catalogue, error) {
	c := &Catalogue{
		named:      map[[2]string]*Method{},
		procedures: map[string]*Method{},
		patterns:   map[string]*node{},
	}
	for _, api := range []string{"management", "admin", "auth", "system"} {
		c.addAPI(api, "/"+api+"/v1/", "/zitadel."+api+".v1.")
	}
	c.addAPI("assets", "/assets/v1/")
	c.addAPI(v2beta, "/v2beta/")
	after := map[string]string{}
	mistakes := eachLine(from, "successors.tsv", 2, func(cells []string) error {
		after[cells[0]] = cells[1]
		return nil
	})
	for _, table := range []string{"methods.tsv", "v2beta.tsv", "assets.tsv"} {
		mistakes = errors.Join(mistakes, eachLine(from, table, 6, func(cells []string) error {
			return c.add(cells, after)
		}))
	}
	if mistakes != nil {
		return nil, mistakes
	}
	return c, nil
}

// eachLine reads a table with that number of columns, whose first line has their names.
func eachLine(from fs.FS, table string, columns int, read func(cells []string) error) error {
	text, err := fs.ReadFile(from, table)
	if err != nil {
		return fmt.Errorf("v1api: %w", err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:] {
		cells := strings.Split(line, "\t")
		if len(cells) != columns {
			return fmt.Errorf("v1api: %s:%d: %d columns: use %d", table, i+2, len(cells), columns)
		}
		if err := read(cells); err != nil {
			return fmt.Errorf("v1api: %s:%d: %w", table, i+2, err)
		}
	}
	return nil
}

func (c *Catalogue) addAPI(api string, paths ...string) {
	c.named[[2]string{api, Unknown}] = &Method{API: api, Name: Unknown}
	for _, path := range paths {
		c.prefixes = append(c.prefixes, prefix{path: path, api: api})
	}
}

// add adds the method of a line; after has the successors of successors.
func (c *Catalogue) add(cells []string, after map[string]string) error {
	if _, isAPI := c.Named(cells[0], Unknown); !isAPI {
		return fmt.Errorf("no API %q", cells[0])
	}
	service, rpc := rpcOf(cells[0], cells[1])
	m := &Method{
		API: cells[0], Name: rpc, Service: service, Verb: cells[2], Pattern: cells[3],
		Successor: cells[4], Deprecated: cells[5] == "deprecated", order: len(c.methods),
	}
	if m.API == v2beta {
		m.Name = service[strings.LastIndexByte(service, '.')+1:] + "/" + rpc
	}
	if next := after[m.Successor]; next != "" {
		m.Successor, m.Via = next, m.Successor
	}
	key, procedure := [2]string{m.API, m.Name}, "/"+service+"/"+rpc
	switch {
	case rpc == "" || c.named[key] != nil:
		return fmt.Errorf("method %q: use a name, and each name once", cells[1])
	case cells[5] != "" && !m.Deprecated:
		return fmt.Errorf("mark %q: use \"deprecated\" or nothing", cells[5])
	case service != "" && c.apiOf(procedure) != m.API:
		return fmt.Errorf("method %q is not of API %q", cells[1], m.API)
	case service != "":
		c.procedures[procedure] = m
	}
	c.methods, c.named[key] = append(c.methods, m), m
	return c.addPattern(m)
}

// rpcOf is the gRPC service and the name of a method there. In v2beta the data has both.
func rpcOf(api, method string) (service, name string) {
	switch api {
	case "assets":
		return "", method
	case v2beta:
		service, name, _ = strings.Cut("zitadel."+method, "/")
		return service, name
	default:
		return "zitadel." + api + ".v1." + strings.ToUpper(api[:1]) + api[1:] + "Service", method
	}
}

func (c *Catalogue) addPattern(m *Method) error {
	switch {
	case m.Verb == "" && m.Pattern == "" && m.API == v2beta:
		return nil
	case !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, m.Verb):
		return fmt.Errorf("verb %q is none of REST", m.Verb)
	case c.apiOf(m.Pattern) != m.API:
		return fmt.Errorf("path %q is not of API %q", m.Pattern, m.API)
	case c.patterns[m.Verb] == nil:
		c.patterns[m.Verb] = new(node)
	}
	return c.patterns[m.Verb].add(strings.Split(m.Pattern[1:], "/"), m)
}
