package ui

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// series is how much was done, step by step.
type series struct {
	step  time.Duration
	steps []step // oldest first
}

// step is what ended within one.
type step struct {
	At                time.Time
	Completed, Failed int64
}

const (
	chartWidth  = 720 // of the drawing, which is stretched
	chartHeight = 120
	chartTicks  = 5 // times below
)

// chart draws bars, failed ones on top of completed ones, and says below from when to when.
func (s series) chart() template.HTML {
	var most, completed, failed int64
	for _, p := range s.steps {
		most, completed, failed = max(most, p.Completed+p.Failed), completed+p.Completed, failed+p.Failed
	}
	if most == 0 {
		return template.HTML(`<p class="dim">Nothing ended in this time.</p>`)
	}
	scale := ceiling(most)
	var b strings.Builder
	half := "" // of the scale, if it is whole
	if scale%2 == 0 {
		half = number(scale / 2)
	}
	fmt.Fprintf(&b, `<figure class="chart"><div class="axis num dim"><span>%s</span><span>%s</span><span>0</span></div>`, number(scale), half)
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s completed and %s failed">`,
		chartWidth, chartHeight, number(completed), number(failed))
	fmt.Fprintf(&b, `<line class="grid" x1="0" x2="%d" y1="0.5" y2="0.5"/><line class="grid" x1="0" x2="%[1]d" y1="%d" y2="%[2]d"/>`, chartWidth, chartHeight/2)
	width := float64(chartWidth) / float64(len(s.steps))
	for i, p := range s.steps {
		height := func(n int64) float64 { return float64(n) / float64(scale) * chartHeight }
		x, good, bad := float64(i)*width, height(p.Completed), height(p.Failed)
		fmt.Fprintf(&b, `<g><title>%s UTC: %s completed, %s failed</title><rect class="hit" x="%.2f" y="0" width="%.2f" height="%d"/>`,
			p.At.UTC().Format("15:04"), number(p.Completed), number(p.Failed), x, width, chartHeight)
		if p.Completed > 0 {
			fmt.Fprintf(&b, `<rect class="completed" x="%.2f" y="%.2f" width="%.2f" height="%.2f"/>`, x+width*0.1, chartHeight-good, width*0.8, good)
		}
		if p.Failed > 0 {
			fmt.Fprintf(&b, `<rect class="failed" x="%.2f" y="%.2f" width="%.2f" height="%.2f"/>`, x+width*0.1, chartHeight-good-bad, width*0.8, max(bad, 1.5))
		}
		b.WriteString("</g>")
	}
	first, last := s.steps[0].At.UTC(), s.steps[len(s.steps)-1].At.UTC().Add(s.step)
	b.WriteString(`</svg><div class="ticks num dim" aria-hidden="true">`)
	for i := range chartTicks {
		fmt.Fprintf(&b, "<span>%s</span>", first.Add(last.Sub(first)*time.Duration(i)/(chartTicks-1)).Format("15:04"))
	}
	fmt.Fprintf(&b, `</div><figcaption class="dim"><span class="mark completed"></span> %s completed <span class="mark failed"></span> %s failed · each bar %s · times in UTC</figcaption></figure>`,
		number(completed), number(failed), lasted(s.step))
	return template.HTML(b.String()) // figures and times only
}

// ceiling is the next round number: 1, 2 or 5 times a power of ten.
func ceiling(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, times := range []int64{1, 2, 5} {
			if n <= times*unit {
				return times * unit
			}
		}
	}
}

// perMinute is how many tasks ended in the newest whole minutes, a minute.
func (s series) perMinute() string {
	p := s.last()
	if p.At.IsZero() {
		return "0"
	}
	return number(int64(float64(p.Completed+p.Failed) / s.step.Minutes()))
}

// failing says how many of those that ended in a step failed.
func (p step) failing() string {
	if p.Failed == 0 {
		return "none failed"
	}
	return fmt.Sprintf("%d %% failed", max(1, 100*p.Failed/(p.Completed+p.Failed)))
}

// last is the newest step that is over; the zero one: there is none.
func (s series) last() step {
	if len(s.steps) < 2 {
		return step{}
	}
	return s.steps[len(s.steps)-2]
}

func (s series) wire() []map[string]any {
	wire := []map[string]any{}
	for _, p := range s.steps {
		wire = append(wire, map[string]any{"at": p.At.UTC(), "step_ms": s.step.Milliseconds(), "completed": p.Completed, "failed": p.Failed})
	}
	return wire
}

// spark draws the series as small bars without words; those read perMinute beside it.
func (s series) spark() template.HTML {
	var most, completed, failed int64
	for _, p := range s.steps {
		most, completed, failed = max(most, p.Completed+p.Failed), completed+p.Completed, failed+p.Failed
	}
	if most == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %d 22" preserveAspectRatio="none" aria-hidden="true"><title>In the last %s %s completed and %s failed</title>`,
		2*len(s.steps), lasted(s.step*time.Duration(len(s.steps))), number(completed), number(failed))
	for i, p := range s.steps {
		height := func(n int64) float64 { return 22 * float64(n) / float64(most) }
		good, bad := height(p.Completed), height(p.Failed)
		if p.Completed > 0 {
			fmt.Fprintf(&b, `<rect x="%d" y="%.1f" width="1.6" height="%.1f"/>`, 2*i, 22-good, good)
		}
		if p.Failed > 0 {
			fmt.Fprintf(&b, `<rect class="failed" x="%d" y="%.1f" width="1.6" height="%.1f"/>`, 2*i, 22-good-bad, bad)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // figures only
}
