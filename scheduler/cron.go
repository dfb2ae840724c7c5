package scheduler

import (
	"errors"
	"fmt"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones resolve on images without /usr/share/zoneinfo
	"unicode"

	"github.com/robfig/cron/v3"
)

// Cron is a cron expression in one time zone, made by [ParseCron]. It is immutable and safe for concurrent use.
// As in crontab, when day of month and day of week are both restricted, a day that matches either is meant.
//
// With fixed hours (0 3 * * *, 30 9-17 * * 1-5, @daily) it means the clock on the wall. A tick that the clock jumps
// over fires at the first instant after the jump, together with any other tick that lands there; a tick that the clock
// shows twice fires the first time only: nothing daily is lost or doubled. A date that the zone left out altogether
// (Apia, 30 December 2011) has no tick, just as 31 April has none.
//
// With hours that run over the whole day (*, */2, 0-23, @hourly) it means elapsed time, and fires whenever the clock
// really shows a match: in both copies of a repeated hour, and not inside a jump. A step that leaves a single hour
// (*/24) counts as fixed. @every knows no clock at all.
type Cron struct {
	zone  *time.Location
	spec  *cron.SpecSchedule // only ever asked in UTC, where there is no clock change for it to get wrong
	fixed bool               // see above
	every time.Duration      // above zero for @every; spec is then nil
}

// CronError says why [ParseCron] refused an expression or its zone, and what to write instead. Expression and Zone are
// as given, cut to 256 bytes. It matches [ErrInvalid].
type CronError struct{ Expression, Zone, Reason, Hint string }

func (e *CronError) Error() string {
	return fmt.Sprintf("bad cron expression %q: %s; %s", e.Expression, e.Reason, e.Hint)
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e *CronError) Is(target error) bool { return target == ErrInvalid }

const cronMaxBytes = 256

// Ticks lie between these instants: outside them neither zones nor RFC 3339 mean much.
var (
	cronFirst = time.Date(1900, time.January, 1, 0, 0, 0, 0, time.UTC)
	cronLast  = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)
)

// ParseCron reads five fields (minute, hour, day of month, month, day of week), six with seconds first, a descriptor
// (@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually), or "@every 90s" in whole seconds from 1s to
// 8760h. Days of the week are 0-7, both ends Sunday. The zone is an IANA name, empty for UTC.
// Every error is a [*CronError].
func ParseCron(expression, zone string) (*Cron, error) {
	c, bad := parseCron(expression, zone)
	if bad != nil {
		bad.Expression = expression[:min(len(expression), cronMaxBytes)]
		bad.Zone = zone[:min(len(zone), cronMaxBytes)]
		return nil, bad
	}
	return c, nil
}

// Next returns the first tick strictly after the given time, in UTC, or the zero time if there is none before the
// year 10000. Times before 1900 count as 1900. For @every it is the given time, cut to the second, plus the duration:
// pass the previous tick, not the time at which it was handled.
func (c *Cron) Next(after time.Time) time.Time {
	after = later(after.UTC(), cronFirst)
	var next time.Time
	switch {
	case c.every > 0:
		next = after.Truncate(time.Second).Add(c.every)
	case c.fixed:
		next = c.nextFixed(after)
	default:
		next = c.nextElapsed(after)
	}
	if next.After(cronLast) {
		return time.Time{}
	}
	return next
}

// NextN returns the n ticks that follow the given time, fewer if the ticks end.
func (c *Cron) NextN(after time.Time, n int) []time.Time {
	var ticks []time.Time
	for len(ticks) < n {
		if after = c.Next(after); after.IsZero() {
			break
		}
		ticks = append(ticks, after)
	}
	return ticks
}

// Latest returns the last tick in (from, to], and whether there is one. It calls Next some forty times, however long
// the interval, for it halves the interval instead of walking through it. For @every, from is the anchor as in Next.
func (c *Cron) Latest(from, to time.Time) (tick time.Time, ok bool) {
	tick = c.Next(from)
	if tick.IsZero() || tick.After(to) {
		return time.Time{}, false
	}
	low, high := tick.Unix(), min(to.Unix(), cronLast.Unix()) // low is a tick, and none lies in (high, to]
	if step := int64(c.every / time.Second); step > 0 {
		return time.Unix(high-(high-low)%step, 0).UTC(), true
	}
	for low < high {
		middle := low + (high-low)/2
		if next := c.Next(time.Unix(middle, 0)); next.IsZero() || next.Unix() > high {
			high = middle
		} else {
			low = next.Unix()
		}
	}
	return time.Unix(low, 0).UTC(), true
}

// nextFixed asks for the next time on the wall clock, and turns that into an instant.
func (c *Cron) nextFixed(after time.Time) time.Time {
	for wall := c.shown(after); ; {
		if wall = c.nextWall(wall); wall.IsZero() {
			return wall
		}
		midnight := wall.Truncate(24 * time.Hour)
		tomorrow := midnight.Add(24 * time.Hour)
		if c.instant(midnight).Before(c.instant(tomorrow)) {
			return c.instant(wall)
		}
		wall = tomorrow.Add(-time.Second) // the zone left this date out
	}
}

// nextElapsed looks through the stretches of constant offset, one after the other.
func (c *Cron) nextElapsed(after time.Time) time.Time {
	for at := after; ; {
		offset, end := c.stretch(at)
		next := c.nextWall(after.Add(offset))
		if next.IsZero() {
			return next
		}
		if next = next.Add(-offset); end.IsZero() || next.Before(end) {
			return next
		}
		at, after = end, end.Add(-time.Second)
	}
}

// nextWall returns the next match on a clock that never changes. The parser looks five years ahead, but from 1896 and
// 2096 the next 29 February is eight years away.
func (c *Cron) nextWall(after time.Time) time.Time {
	next := c.spec.Next(after)
	if next.IsZero() {
		next = c.spec.Next(after.AddDate(5, 0, 0))
	}
	return next
}

// shown returns the highest time that the zone's clock has shown until now, written as UTC. It differs from what the
// clock shows now only in the second copy of a repeated hour. No clock was ever set back by 48 hours.
func (c *Cron) shown(now time.Time) (highest time.Time) {
	for t := now.Add(-48 * time.Hour); ; {
		offset, end := c.stretch(t)
		if end.IsZero() || end.After(now) {
			return later(highest, now.Add(offset))
		}
		highest = later(highest, end.Add(offset-time.Second))
		t = end
	}
}

// instant returns the first moment at which the zone's clock shows this time, written as UTC, or a later one: in a
// repeated hour the first copy, in a jump the end of the jump.
func (c *Cron) instant(wall time.Time) time.Time {
	for t := wall.Add(-24 * time.Hour); ; {
		offset, end := c.stretch(t)
		if t = later(t, wall.Add(-offset)); end.IsZero() || t.Before(end) {
			return t
		}
		t = end
	}
}

// stretch returns the zone's offset at t, and a time after t until which it holds, zero for ever.
func (c *Cron) stretch(t time.Time) (offset time.Duration, end time.Time) {
	local := t.In(c.zone)
	_, seconds := local.Zone()
	_, end = local.ZoneBounds()
	if !end.IsZero() && !end.After(t) { // on the 366th day of a year: package time counts 365 in each
		end = time.Date(t.Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Duration(seconds) * time.Second, end.UTC()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

const cronValue = `(?:[0-9]{1,2}|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)`

var (
	cronItem     = regexp.MustCompile(`(?i)^(?:[*?]|` + cronValue + `(?:-` + cronValue + `)?)(?:/0?[1-9][0-9]{0,2})?$`)
	cronQuartz   = regexp.MustCompile(`(?i)#|^[0-9]*(?:L|W|LW)(?:-.*)?$|^[a-z]{3}L$`)
	cronJenkins  = regexp.MustCompile(`(?i)^H\b`)
	cronWholeDay = regexp.MustCompile(`(?:^|,)(?:[*?]|00?-23|00?/)`)
	cronToSunday = regexp.MustCompile(`^(?:0?([0-7])-)?0?7(?:/([0-9]+))?$`)
	cronZone     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,31}){0,2}$`)
	cronOwnZone  = regexp.MustCompile(`(?i)^(?:local|localtime|posixrules|(?:posix|right)/.*)$`)

	cronParser      = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	cronDescriptors = map[string]string{
		"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
		"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
	}
	cronDayNames = strings.NewReplacer("sun-sun", "0", "-sun", "-7", "sun", "0", "mon", "1", "tue", "2", "wed", "3",
		"thu", "4", "fri", "5", "sat", "6")
)

func refuseCron(reason, hint string) *CronError { return &CronError{Reason: reason, Hint: hint} }

func parseCron(expression, zone string) (*Cron, *CronError) {
	if bad := checkCron(expression); bad != nil {
		return nil, bad
	}
	location, bad := loadCronZone(zone)
	if bad != nil {
		return nil, bad
	}
	fields := strings.Fields(expression)
	if fields[0] == "@every" {
		every, bad := parseEvery(fields[1:])
		return &Cron{zone: location, every: every}, bad
	}
	if fields, bad = cronFields(fields); bad != nil {
		return nil, bad
	}
	spec, err := parseSpec(fields)
	switch {
	case err != nil && strings.Contains(err.Error(), "beyond end of range"):
		return nil, refuseCron(err.Error(), "a range cannot wrap around: write it as two, such as 22-23,0-2")
	case err != nil:
		return nil, refuseCron(err.Error(), "fields are [second 0-59] minute 0-59, hour 0-23, day of month 1-31, "+
			"month 1-12 or jan-dec, day of week 0-7 or sun-sat")
	}
	hours := bits.OnesCount64(spec.Hour & (1<<24 - 1))
	c := &Cron{zone: location, spec: spec, fixed: hours == 1 || hours < 24 && !cronWholeDay.MatchString(fields[2])}
	if c.nextWall(cronFirst).IsZero() {
		return nil, refuseCron("never matches", "none of its months has such a day")
	}
	return c, nil
}

// checkCron refuses what must not reach the parser, which panics on some zone prefixes.
func checkCron(expression string) *CronError {
	trimmed := strings.ToUpper(strings.Trim(expression, " "))
	switch {
	case len(expression) > cronMaxBytes:
		return refuseCron("longer than 256 bytes", "make it several schedules")
	case strings.ContainsFunc(expression, unicode.IsControl):
		return refuseCron("has a tab, line break or other control character", "use one line and plain spaces")
	case strings.ContainsFunc(expression, func(r rune) bool { return r > unicode.MaxASCII }):
		return refuseCron("has a character outside ASCII", "type it again: pasted text often holds look-alikes of * and -")
	case trimmed == "":
		return refuseCron("empty", `write five fields, such as "0 3 * * *", or a descriptor, such as @daily`)
	case strings.HasPrefix(trimmed, "TZ=") || strings.HasPrefix(trimmed, "CRON_TZ="):
		return refuseCron("names a time zone", "the zone has its own field")
	}
	return nil
}

func loadCronZone(zone string) (*time.Location, *CronError) {
	const hint = `use an IANA name such as "Europe/Paris" (case matters), or leave it empty for UTC`
	switch {
	case cronOwnZone.MatchString(zone):
		return nil, refuseCron(fmt.Sprintf("zone %.64q differs between machines", zone), hint)
	case zone != "" && !cronZone.MatchString(zone):
		return nil, refuseCron(fmt.Sprintf("zone %.64q is not the name of a time zone", zone), hint)
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, refuseCron(fmt.Sprintf("zone %q is unknown", zone), hint)
	}
	return location, nil
}

func parseEvery(arguments []string) (time.Duration, *CronError) {
	const hint = "write @every and whole seconds from 1s to 8760h, such as @every 90s or @every 24h"
	if len(arguments) != 1 {
		return 0, refuseCron("@every takes one duration", hint)
	}
	every, err := time.ParseDuration(arguments[0])
	switch {
	case err != nil:
		return 0, refuseCron(fmt.Sprintf("%q is not a duration in h, m and s", arguments[0]), hint)
	case every < time.Second || every > 365*24*time.Hour:
		return 0, refuseCron(fmt.Sprintf("%s is out of bounds", arguments[0]), hint)
	case every%time.Second != 0:
		return 0, refuseCron(fmt.Sprintf("%s is not in whole seconds", arguments[0]), hint)
	}
	return every, nil
}

// cronFields returns the six fields that the parser is given.
func cronFields(fields []string) ([]string, *CronError) {
	if full, ok := cronDescriptors[fields[0]]; ok && len(fields) == 1 {
		fields = strings.Fields(full)
	}
	switch lower := strings.ToLower(fields[0]); {
	case lower == "@reboot":
		return nil, refuseCron("@reboot is no point in time", "submit a task when your program starts")
	case lower != fields[0] && (cronDescriptors[lower] != "" || lower == "@every"):
		return nil, refuseCron(fmt.Sprintf("%q is not in lower case", fields[0]), "write "+lower)
	case lower[0] == '@':
		return nil, refuseCron(fmt.Sprintf("%q is unknown or has too much after it", fields[0]),
			"descriptors are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, and @every 90s")
	case len(fields) == 7:
		return nil, refuseCron("has 7 fields", "drop the last one: years are not supported")
	case len(fields) != 5 && len(fields) != 6:
		return nil, refuseCron(fmt.Sprintf("has %d fields", len(fields)),
			"write [second] minute hour day-of-month month day-of-week")
	case len(fields) == 5:
		fields = append([]string{"0"}, fields...)
	}
	for _, item := range strings.Split(strings.Join(fields, ","), ",") {
		switch {
		case cronItem.MatchString(item):
		case item == "":
			return nil, refuseCron("has an empty item in a list", "remove the comma")
		case cronQuartz.MatchString(item):
			return nil, refuseCron(fmt.Sprintf("%q: L, W and # are not supported", item),
				"run on each day that can be meant, and let the task look at the date")
		case cronJenkins.MatchString(item):
			return nil, refuseCron(fmt.Sprintf("%q: H is not supported", item), "write the number")
		default:
			return nil, refuseCron(fmt.Sprintf("%q is not understood", item),
				"an item is *, 5, 1-5, */15, 0-30/10 or a three-letter name such as mon; commas make lists")
		}
	}
	fields[5] = spellSundays(fields[5])
	return fields, nil
}

// spellSundays rewrites days of the week that reach 7 (7, 5-7, 1-7/2, fri-sun), unknown to the parser, as lists.
func spellSundays(field string) string {
	items := strings.Split(cronDayNames.Replace(strings.ToLower(field)), ",")
	for i, item := range items {
		match := cronToSunday.FindStringSubmatch(item)
		if match == nil {
			continue
		}
		from, step := 7, 1
		if match[1] != "" {
			from = int(match[1][0] - '0')
		}
		if match[2] != "" {
			step, _ = strconv.Atoi(match[2])
		}
		items[i] = strconv.Itoa(from % 7)
		for day := from + step; day <= 7; day += step {
			items[i] += "," + strconv.Itoa(day%7)
		}
	}
	return strings.Join(items, ",")
}

func parseSpec(fields []string) (spec *cron.SpecSchedule, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("not understood: %v", cause)
		}
	}()
	schedule, err := cronParser.Parse(strings.Join(fields, " "))
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), ": strconv.")
		return nil, errors.New(strings.Replace(text, "failed to parse int from", "no value of its field:", 1))
	}
	spec = schedule.(*cron.SpecSchedule)
	spec.Location = time.UTC
	return spec, nil
}
