package config

import (
	"fmt"
	"strings"
)

// Suggest returns the word among known that word was most likely meant to be, or "" when none is near: one that
// differs by case, by "-" for "_" or by a few typing errors, else the first that shares its beginning.
func Suggest(word string, known []string) string {
	plain := fold(word)
	best, least := "", len(plain)+1
	for _, k := range known {
		d := distance(plain, fold(k))
		if d < least && d <= max(1, min(len(plain), len(k))/3) {
			best, least = k, d
		}
	}
	if best != "" {
		return best
	}
	for _, k := range known {
		if sharesStart(plain, fold(k)) {
			return k
		}
	}
	return ""
}

// fold makes words alike that differ only by case or by the character between their parts.
func fold(word string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(word))
}

// sharesStart reports whether one word begins with the other and is not much longer.
func sharesStart(a, b string) bool {
	short, long := min(len(a), len(b)), max(len(a), len(b))
	return short >= 4 && long <= 3*short && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
}

// SuggestKey returns a hint for a key in a file that is no setting.
func SuggestKey(key string) string {
	leaf := strings.ToLower(key[strings.LastIndexByte(key, '.')+1:])
	var keys []string
	for _, s := range Settings() {
		if s.Gunicorn == leaf {
			return fmt.Sprintf("gunicorn's %s is called %q here", s.Gunicorn, s.Key)
		}
		keys = append(keys, s.Key)
	}
	if near := Suggest(key, keys); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	for _, s := range Settings() {
		if s.leaf() == leaf {
			return fmt.Sprintf("did you mean %q?", s.Key)
		}
	}
	return "appserver config init writes a file with every setting"
}

// distance is the number of typing errors between a and b: bytes inserted, left out, replaced, or two swapped (optimal
// string alignment). Words longer than any setting are not compared.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var rows [3][longest + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
