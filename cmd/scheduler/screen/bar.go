package screen

import (
	"fmt"
	"strings"
	"time"

	"github.com/rivo/uniseg"
)

// Progress is what a bar shows. It is always the whole picture, never a step: a task's progress may jump, go back with a
// new attempt, or change its total.
type Progress struct {
	Label   string // of the task
	State   string
	Current int64
	Total   int64         // 0: unknown
	Message string        // the last one reported
	Left    time.Duration // how long it may still take; 0: unknown
}

// Percent is 0 to 100, or -1 when the total is unknown.
func (p Progress) Percent() int {
	if p.Total <= 0 {
		return -1
	}
	return int(100 * min(1, max(0, float64(p.Current)/float64(p.Total))))
}

// Line is the progress as plain text, for logs.
func (p Progress) Line() string {
	parts := []string{p.Label, p.State}
	if percent := p.Percent(); percent >= 0 {
		parts = append(parts, fmt.Sprintf("%d%%", percent))
	}
	if count := p.count(); count != "" {
		parts = append(parts, count)
	}
	if p.Message != "" {
		parts = append(parts, Clean(p.Message))
	}
	return strings.Join(parts, "  ")
}

func (p Progress) count() string {
	switch {
	case p.Total > 0:
		return fmt.Sprintf("%d/%d", p.Current, p.Total)
	case p.Current > 0:
		return fmt.Sprint(p.Current)
	}
	return ""
}

// barCells is how wide the drawn part of a bar is at most.
const barCells = 30

// Bar is the progress as a bar of at most columns: label, percent, drawing, count, message, time left. What does not fit
// is dropped from the right, and the drawing shrinks before that.
func (p Progress) Bar(columns int) string {
	percent := p.Percent()
	head := Clean(p.Label) + "  " + p.State
	var tail []string
	if percent >= 0 {
		head = fmt.Sprintf("%s  %3d%%", Clean(p.Label), percent)
	}
	if count := p.count(); count != "" {
		tail = append(tail, count)
	}
	if p.Left > 0 && percent < 100 {
		left := max(time.Second, p.Left.Round(time.Second))
		tail = append(tail, "eta "+strings.Replace(Span(left), ".0s", "s", 1))
	}
	if p.Message != "" {
		tail = append(tail, Clean(p.Message))
	}
	end := strings.Join(tail, "  ")
	if percent >= 0 {
		if cells := min(barCells, columns-uniseg.StringWidth(head)-len(" []  ")-min(30, uniseg.StringWidth(end))); cells >= 5 {
			head += " " + drawing(percent, cells)
		}
	}
	return Cut(strings.TrimRight(head+"  "+end, " "), columns)
}

func drawing(percent, cells int) string {
	full := percent * cells / 100
	if full == cells {
		return "[" + strings.Repeat("=", cells) + "]"
	}
	return "[" + strings.Repeat("=", full) + ">" + strings.Repeat(" ", cells-full-1) + "]"
}

// Draw puts the bar in place of the last one that was drawn. Only for a terminal: ErrColumns is set.
func (s *Screen) Draw(p Progress) {
	// One column less: a full line would wrap on some terminals.
	fmt.Fprintf(s.Err, "\r%s\x1b[K", p.Bar(s.ErrColumns()-1)) //nolint:errcheck // nowhere to report it
}

// Wipe takes away the bar that was drawn last.
func (s *Screen) Wipe() { fmt.Fprint(s.Err, "\r\x1b[K") } //nolint:errcheck // nowhere to report it
