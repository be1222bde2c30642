package config

import (
	"slices"
	"strings"
)

// nearest are the keys that are most like an unknown one, a key or what follows
// environmentPrefix in a variable: by edits, two at most; by their beginning; or by their last
// name, so that one in the wrong section is found.
func nearest(unknown string, keys []string) []string {
	plain := func(key string) string { return strings.ToLower(strings.ReplaceAll(key, ".", "_")) }
	last := func(key string) string { return key[strings.LastIndexByte(key, '_')+1:] }
	var near []string
	const most = 2
	least, name := most, plain(unknown)
	for _, key := range keys {
		candidate := plain(key)
		distance := edits(name, candidate)
		if rest, begins := strings.CutPrefix(candidate, name); begins && name != "" && !strings.Contains(rest, "_") {
			distance = min(distance, 1)
		}
		if last(candidate) == last(name) {
			distance = min(distance, most)
		}
		if distance < least {
			least, near = distance, nil
		}
		if distance == least {
			near = append(near, key)
		}
	}
	return near
}

// edits is the Levenshtein distance of two texts: how many letters are added, left out or changed.
func edits(from, to string) int {
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(from) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(to) {
			changed := diagonal
			if from[i] != to[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, diagonal+1, row[j]+1)
		}
	}
	return row[len(to)]
}

// sectionsAndKeys are all that a file may name.
func sectionsAndKeys() []string {
	all := Keys()
	for _, key := range Keys() {
		for i := strings.LastIndexByte(key, '.'); i > 0; i = strings.LastIndexByte(key[:i], '.') {
			if section := key[:i]; !slices.Contains(all, section) {
				all = append(all, section)
			}
		}
	}
	return all
}
