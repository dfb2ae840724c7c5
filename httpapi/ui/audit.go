package ui

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// deed is an action of somebody as pages show it.
type deed struct {
	At     moment
	Actor  string
	Verb   string // in words
	Target string
	TaskID *scheduler.TaskID
	Detail string
}

func deeds(audit []scheduler.Audit, now time.Time) []deed {
	var list []deed
	for _, a := range audit {
		list = append(list, deed{At: moment{a.At, now}, Actor: a.Actor, Verb: strings.ReplaceAll(a.Verb, "_", " "), Target: a.Target, TaskID: a.TaskID, Detail: details(a.Detail)})
	}
	return list
}

// retries is when somebody brought a task back.
func retries(audit []scheduler.Audit) (list []time.Time) {
	for _, a := range audit {
		if a.Verb == "retry" {
			list = append(list, a.At)
		}
	}
	return list
}

// details says the members of an object, in order of their names, but for some.
func details(raw json.RawMessage, but ...string) string {
	var object map[string]any
	if json.Unmarshal(raw, &object) != nil {
		return ""
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if slices.Contains(but, name) {
			continue
		}
		switch value := object[name].(type) {
		case nil:
		case bool: // what was not so is not worth a word
			if value {
				list = append(list, name)
			}
		case []any, map[string]any:
			encoded, _ := json.Marshal(value) // it came from JSON
			list = append(list, name+": "+string(encoded))
		default:
			list = append(list, fmt.Sprintf("%s: %v", name, value))
		}
	}
	return strings.Join(list, ", ")
}

// happening is the deed in the tail of events.
func (d deed) happening() happening {
	h := happening{At: d.At, Verb: d.Verb, State: "paused", Kind: d.Target, Detail: "by " + d.Actor}
	if d.Detail != "" {
		h.Detail += ", " + d.Detail
	}
	if d.TaskID != nil {
		h.TaskID, h.Short = *d.TaskID, d.TaskID.String()[24:]
	}
	return h
}
