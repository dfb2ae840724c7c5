package httpapi

import (
	"encoding/base64"

	"github.com/pgscheduler/scheduler/scheduler"
)

// A cursor is the last id of a page behind one byte that says so; opaque, so that it may become something else.
const cursorBefore = 1

var cursorText = base64.RawURLEncoding.Strict()

func newCursor(last scheduler.TaskID) string {
	return cursorText.EncodeToString(append([]byte{cursorBefore}, last[:]...))
}

// parseCursor returns the id that a page starts below; "" is the first page.
func parseCursor(cursor string) (before scheduler.TaskID, err error) {
	if cursor == "" {
		return before, nil
	}
	raw, err := cursorText.DecodeString(cursor)
	if err != nil || len(raw) != 1+len(before) || raw[0] != cursorBefore || scheduler.TaskID(raw[1:]).IsZero() {
		return before, newProblem(CodeBadCursor, "give the next_cursor of the page before as it was, or none for the first page",
			Detail{Parameter: "cursor", Detail: "not a cursor of this list"})
	}
	copy(before[:], raw[1:])
	return before, nil
}
