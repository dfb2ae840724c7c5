//go:build unix

package worker

import (
	"os"
	"slices"
	"testing"
)

// Pipes that somebody else has open are cut off in the end; what is in them by then is read, however late its reader is.
func TestWhatIsInAPipeIsReadThoughItIsCutOff(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*os.File, func(string)){
		"lines":  readLines,
		"stream": func(pipe *os.File, line func(string)) { newStream(pipe, line).run() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			p := &process{pipes: &pipes{stdout: r, stderr: r, control: r}}
			var got []string
			reading, late := make(chan struct{}), make(chan struct{})
			p.talking.Go(func() {
				read(r, func(line string) {
					if got = append(got, line); len(got) == 1 {
						close(reading)
						<-late
					}
				})
			})
			say := func(text string) {
				if _, err := w.WriteString(text); err != nil {
					t.Error(err)
				}
			}
			say("one\n")
			<-reading
			say("two\nthree")
			p.cutOff()
			close(late)
			p.talking.Wait()
			if !slices.Equal(got, []string{"one", "two", "three"}) {
				t.Errorf("%q", got)
			}
		})
	}
}
