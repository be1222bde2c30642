package v1api

import (
	"fmt"
	"strings"
)

// node is a place in the tree of all patterns of one verb: what may come after the
// segments that led here.
type node struct {
	literals map[string]*node
	variable *node   // after {x}, which is one segment, and may be an empty one
	end      *Method // whose pattern ends here
	rest     *Method // whose pattern goes on with {x=**}: any number of segments, or none
}

// add adds the pattern of a method; the segments are those that are left of it.
func (n *node) add(segments []string, m *Method) error {
	if len(segments) == 0 {
		return claim(&n.end, m)
	}
	segment, left := segments[0], segments[1:]
	name, isVariable := strings.CutPrefix(segment, "{")
	name, isRest := strings.CutSuffix(name, "=**}")
	isOne := false
	if !isRest {
		name, isOne = strings.CutSuffix(name, "}")
	}
	switch {
	case name == "" || strings.ContainsAny(name, "{}=*:") || isVariable != (isRest || isOne) || isRest && len(left) > 0:
		return fmt.Errorf("segment %q: use a word, {name}, or {name=**} at the end", segment)
	case isRest:
		return claim(&n.rest, m)
	case isOne:
		if n.variable == nil {
			n.variable = new(node)
		}
		return n.variable.add(left, m)
	default:
		return n.literal(segment).add(left, m)
	}
}

// claim refuses a second method: no request would ever find the first.
func claim(place **Method, m *Method) error {
	if *place != nil {
		return fmt.Errorf("%s has the pattern of %s", m.Name, (*place).Name)
	}
	*place = m
	return nil
}

func (n *node) literal(segment string) *node {
	if n.literals == nil {
		n.literals = map[string]*node{}
	}
	if n.literals[segment] == nil {
		n.literals[segment] = new(node)
	}
	return n.literals[segment]
}

// find finds the method whose pattern matches what is left of a path, if anything is: an
// empty segment is not the same as none. Of several methods it is the one that was
// registered last, however exact their patterns are: grpc-gateway tries them in that order.
func (n *node) find(path string, more bool) *Method {
	if n == nil {
		return nil
	}
	if !more {
		return later(n.end, n.rest)
	}
	segment, path, more := strings.Cut(path, "/")
	found := later(n.rest, n.variable.find(path, more))
	return later(found, n.literals[segment].find(path, more))
}

// later is the method that was registered after the other, or the only one.
func later(a, b *Method) *Method {
	if a == nil || b != nil && b.order > a.order {
		return b
	}
	return a
}
