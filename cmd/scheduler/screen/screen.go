package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Screen is where a command writes. Fill it before use; not safe for concurrent use.
type Screen struct {
	Out io.Writer // data
	Err io.Writer // everything else

	OutColumns func() int // width of the terminal that Out is; nil: it is none
	ErrColumns func() int // width of the terminal that Err is; nil: it is none

	OutRows func() int // height of that terminal; nil: it is none

	Color bool             // on terminals
	JSON  bool             // data as JSON, one value a line
	Clock func() time.Time // for relative times; nil: time.Now
}

// Interactive reports whether data goes to a terminal.
func (s *Screen) Interactive() bool { return s.OutColumns != nil }

// Rows is how many lines the terminal of Out shows; 0: it is none, or who knows.
func (s *Screen) Rows() int {
	if s.OutRows == nil {
		return 0
	}
	return s.OutRows()
}

// Redraw has the lines of data that show writes take the place of all that is on the terminal, at once.
func (s *Screen) Redraw(show func() error) error {
	var frame bytes.Buffer
	out := s.Out
	s.Out = &frame
	err := show()
	s.Out = out
	if err != nil {
		return err
	}
	return s.write([]byte("\x1b[H" + strings.ReplaceAll(frame.String(), "\n", "\x1b[K\n") + "\x1b[J"))
}

// Printf writes a line of data. Strings and errors among args are cleaned.
func (s *Screen) Printf(format string, args ...any) error {
	return s.PrintRaw(fmt.Sprintf(format, cleaned(args)...))
}

// PrintRaw writes a line of data as it is.
func (s *Screen) PrintRaw(line string) error {
	return s.write([]byte(line + "\n"))
}

// OutputError is the error of a write to Out, as when the disk is full.
type OutputError struct{ Err error }

func (e *OutputError) Error() string { return "write the output: " + e.Err.Error() }
func (e *OutputError) Unwrap() error { return e.Err }

func (s *Screen) write(data []byte) error {
	if _, err := s.Out.Write(data); err != nil {
		return &OutputError{err}
	}
	return nil
}

// Hintf writes a line that is not data. Strings and errors among args are cleaned.
func (s *Screen) Hintf(format string, args ...any) {
	fmt.Fprintf(s.Err, format+"\n", cleaned(args)...) //nolint:errcheck // nowhere to report it
}

// Fail writes an error as three lines: what, why, what to run next.
func (s *Screen) Fail(what, why, run string) {
	label := s.painted(s.ErrColumns != nil, Red, "error:")
	fmt.Fprintf(s.Err, "%s %s\nwhy:   %s\nrun:   %s\n", label, Clean(what), Clean(why), Clean(run)) //nolint:errcheck // nowhere to report it
}

func cleaned(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			arg = Clean(v)
		case error:
			arg = Clean(v.Error())
		}
		out[i] = arg
	}
	return out
}

// PrintJSON writes a value as one line of JSON. Characters that a terminal might obey are written as \u escapes, which
// changes no value.
func (s *Screen) PrintJSON(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	return s.write(SafeJSON(b.Bytes()))
}

// SafeJSON writes what Clean would escape as \u escapes. In JSON such characters can stand in strings only, besides the
// white space that it keeps.
func SafeJSON(raw []byte) []byte {
	var b bytes.Buffer
	for rest := raw; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r < ' ' || r == utf8.RuneError || !unsafeRune(r) {
			b.Write(rest[:size])
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	return b.Bytes()
}

// Paint is a colour of text.
type Paint string

// The paints, as SGR parameters (ECMA-48).
const (
	Red    Paint = "31"
	Green  Paint = "32"
	Yellow Paint = "33"
	Dim    Paint = "2"
)

// Painted returns text in a colour, for Out.
func (s *Screen) Painted(p Paint, text string) string { return s.painted(s.OutColumns != nil, p, text) }

func (s *Screen) painted(terminal bool, p Paint, text string) string {
	if !s.Color || !terminal {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}
