package scheduler

import (
	"slices"
	"strings"
)

const (
	maxTags  = 16
	tagsRule = "up to 16, each 1 to 64 letters, digits and _ . - : / @ = +"
)

// ValidTag reports whether a task may have the tag: 1 to 64 letters, digits and _ . - : / @ = +.
func ValidTag(tag string) bool {
	for i := range len(tag) {
		c := tag[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') && strings.IndexByte("_.-:/@=+", c) < 0 {
			return false
		}
	}
	return len(tag) >= 1 && len(tag) <= 64
}

// TagsFit reports whether the list can be a task's Tags.
func TagsFit(tags []string) bool {
	return len(tags) <= maxTags && !slices.ContainsFunc(tags, func(tag string) bool { return !ValidTag(tag) })
}

// CleanTags returns tags as they are stored: sorted, each once, nil for none. scheduler.clean_tags does the same in SQL.
func CleanTags(tags []string) []string {
	if len(tags) == 0 {
		return nil
	}
	sorted := slices.Clone(tags)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// tagsLiteral writes tags that fit as an array of PostgreSQL's. Quoted, or one of them might be its NULL.
func tagsLiteral(tags []string) *string {
	if len(tags) == 0 {
		return nil
	}
	return null(`{"` + strings.Join(CleanTags(tags), `","`) + `"}`)
}
