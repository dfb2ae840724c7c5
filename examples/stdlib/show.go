package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/term"
)

// screen shows lines and, below them on a terminal, a bar that moves; elsewhere the bar is a line at each tenth.
type screen struct {
	out   io.Writer
	width func() int // columns; 0: not a terminal
	bar   string     // shown now, on a terminal
	tenth int        // shown last, elsewhere
}

func newScreen(out *os.File) *screen {
	s := &screen{out: out, width: func() int { return 0 }}
	if fd := int(out.Fd()); term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" {
		s.width = func() int {
			width, _, err := term.GetSize(fd)
			if err != nil || width < 20 {
				return 80
			}
			return width
		}
	}
	return s
}

const clearLine = "\r\x1b[K"

// say writes a line, above the bar.
func (s *screen) say(format string, args ...any) {
	bar := s.bar
	s.clear()
	fmt.Fprintf(s.out, format+"\n", args...)
	s.draw(bar)
}

// field writes a line of the list at the top.
func (s *screen) field(name, format string, args ...any) {
	s.clear()
	s.say("  %-9s %s", name, fmt.Sprintf(format, args...))
}

// wait says on a terminal what takes its time, until the next line.
func (s *screen) wait(what string) { s.draw("  " + what + " …") }

// progress moves the bar.
func (s *screen) progress(done, total int, doing string) {
	if total == 0 {
		return
	}
	percent := 100 * done / total
	count := fmt.Sprintf("%3d%%  %s/%s", percent, number(done), number(total))
	if s.width() == 0 {
		if tenth := percent / 10; tenth > s.tenth {
			s.tenth = tenth
			s.say("%s", strings.TrimRight("  "+count+" packages   "+doing, " "))
		}
		return
	}
	const cells = 16
	full := cells * done / total
	s.draw(strings.TrimRight("  ["+strings.Repeat("=", full)+strings.Repeat(" ", cells-full)+"] "+count+"   "+doing, " "))
}

// keep leaves the bar where it is and goes on below.
func (s *screen) keep() {
	if s.bar != "" {
		fmt.Fprintln(s.out)
	}
	s.bar = ""
}

func (s *screen) draw(bar string) {
	width := s.width()
	if width == 0 || bar == "" {
		return
	}
	s.bar = bar
	fmt.Fprint(s.out, clearLine+cut(bar, width-1))
}

// clear takes the bar away.
func (s *screen) clear() {
	if s.bar != "" {
		fmt.Fprint(s.out, clearLine)
	}
	s.bar = ""
}

func cut(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:columns-1]) + "…"
}

// cell is a value of a table.
type cell struct {
	text  string
	right bool // aligned right, as numbers are
}

func cellOf(value any) cell {
	switch v := value.(type) {
	case nil:
		return cell{}
	case int16, int32, int64:
		n, _ := strconv.Atoi(fmt.Sprint(v))
		return cell{number(n), true}
	case pgtype.Numeric:
		n, err := v.Int64Value()
		if err == nil {
			return cell{number(int(n.Int64)), true}
		}
	}
	return cell{fmt.Sprint(value), false}
}

// query shows a statement and its rows, as psql does.
func (s *screen) query(statement string, header []string, body [][]cell) {
	for line := range strings.Lines(statement) {
		s.say("  %s", strings.TrimRight(line, "\n"))
	}
	widths := make([]int, len(header))
	for i, name := range header {
		widths[i] = len(name)
		for _, line := range body {
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i].text))
		}
	}
	var names, rules []string
	for i, name := range header {
		right := len(body) > 0 && body[0][i].right
		names = append(names, pad(cell{name, right}, widths[i]))
		rules = append(rules, strings.Repeat("-", widths[i]))
	}
	s.say("")
	s.say("    %s", strings.TrimRight(strings.Join(names, "  "), " "))
	s.say("    %s", strings.Join(rules, "  "))
	for _, line := range body {
		var cells []string
		for i, c := range line {
			cells = append(cells, pad(c, widths[i]))
		}
		s.say("    %s", strings.TrimRight(strings.Join(cells, "  "), " "))
	}
	s.say("")
}

func pad(c cell, width int) string {
	fill := strings.Repeat(" ", width-utf8.RuneCountInString(c.text))
	if c.right {
		return fill + c.text
	}
	return c.text + fill
}

// number writes 1234567 as 1,234,567.
func number(n int) string {
	digits := strconv.Itoa(n)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// plural writes 1 task, 2 tasks.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// seconds writes a duration as 1.2 s.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
