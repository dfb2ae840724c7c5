package scheduler

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var cronUpdate = flag.Bool("cron-update", false, "rewrite testdata/cron")

func TestParseCronRefuses(t *testing.T) {
	t.Parallel()
	const (
		zoneHint  = `use an IANA name such as "Europe/Paris" (case matters), or leave it empty for UTC`
		itemHint  = "an item is *, 5, 1-5, */15, 0-30/10 or a three-letter name such as mon; commas make lists"
		rangeHint = "fields are [second 0-59] minute 0-59, hour 0-23, day of month 1-31, " +
			"month 1-12 or jan-dec, day of week 0-7 or sun-sat"
		wrapHint   = "a range cannot wrap around: write it as two, such as 22-23,0-2"
		everyHint  = "write @every and whole seconds from 1s to 8760h, such as @every 90s or @every 24h"
		fieldHint  = "write [second] minute hour day-of-month month day-of-week"
		quartzHint = "run on each day that can be meant, and let the task look at the date"
		macroHint  = "descriptors are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, and @every 90s"
		charHint   = "use one line and plain spaces"
		asciiHint  = "type it again: pasted text often holds look-alikes of * and -"
		emptyHint  = `write five fields, such as "0 3 * * *", or a descriptor, such as @daily`
		prefixHint = "the zone has its own field"
	)
	tests := []struct{ expression, zone, reason, hint string }{
		{"", "", "empty", emptyHint},
		{"   ", "", "empty", emptyHint},
		{strings.Repeat("1,", 124) + "1 * * * *", "", "longer than 256 bytes", "make it several schedules"},
		{"0 3 * * *\n", "", "has a tab, line break or other control character", charHint},
		{"0\t3 * * *", "", "has a tab, line break or other control character", charHint},
		{"0 3 * * *\x00", "", "has a tab, line break or other control character", charHint},
		{"0 3 ∗ * *", "", "has a character outside ASCII", asciiHint},
		{"0 3 * * \xff", "", "has a character outside ASCII", asciiHint},
		{"TZ=", "", "names a time zone", prefixHint},
		{"TZ=0", "", "names a time zone", prefixHint},
		{"TZ=Europe/Rome", "", "names a time zone", prefixHint},
		{"CRON_TZ=UTC", "", "names a time zone", prefixHint},
		{" cron_tz=UTC 0 3 * * *", "", "names a time zone", prefixHint},

		{"@reboot", "", "@reboot is no point in time", "submit a task when your program starts"},
		{"@Daily", "", `"@Daily" is not in lower case`, "write @daily"},
		{"@EVERY 5m", "", `"@EVERY" is not in lower case`, "write @every"},
		{"@fortnightly", "", `"@fortnightly" is unknown or has too much after it`, macroHint},
		{"@daily 3", "", `"@daily" is unknown or has too much after it`, macroHint},
		{"@every", "", "@every takes one duration", everyHint},
		{"@every 1h 30m", "", "@every takes one duration", everyHint},
		{"@every 1d", "", `"1d" is not a duration in h, m and s`, everyHint},
		{"@every 0s", "", "0s is out of bounds", everyHint},
		{"@every -5m", "", "-5m is out of bounds", everyHint},
		{"@every 1ns", "", "1ns is out of bounds", everyHint},
		{"@every 8760h1s", "", "8760h1s is out of bounds", everyHint},
		{"@every 1500ms", "", "1500ms is not in whole seconds", everyHint},

		{"* * * *", "", "has 4 fields", fieldHint},
		{"0 0 3 * * * 2026", "", "has 7 fields", "drop the last one: years are not supported"},
		{"0 0 3 * * * * *", "", "has 8 fields", fieldHint},
		{"0 0 L * *", "", `"L": L, W and # are not supported`, quartzHint},
		{"0 0 L-3 * *", "", `"L-3": L, W and # are not supported`, quartzHint},
		{"0 0 15W * *", "", `"15W": L, W and # are not supported`, quartzHint},
		{"0 0 lw * *", "", `"lw": L, W and # are not supported`, quartzHint},
		{"0 0 * * 5L", "", `"5L": L, W and # are not supported`, quartzHint},
		{"0 0 * * friL", "", `"friL": L, W and # are not supported`, quartzHint},
		{"0 0 * * fri#2", "", `"fri#2": L, W and # are not supported`, quartzHint},
		{"H 3 * * *", "", `"H": H is not supported`, "write the number"},
		{"H(0-29)/10 * * * *", "", `"H(0-29)/10": H is not supported`, "write the number"},
		{"1,,2 * * * *", "", "has an empty item in a list", "remove the comma"},
		{", * * * *", "", "has an empty item in a list", "remove the comma"},
		{"*-5 * * * *", "", `"*-5" is not understood`, itemHint},
		{"+5 * * * *", "", `"+5" is not understood`, itemHint},
		{"-5 * * * *", "", `"-5" is not understood`, itemHint},
		{"1-2-3 * * * *", "", `"1-2-3" is not understood`, itemHint},
		{"*/2/2 * * * *", "", `"*/2/2" is not understood`, itemHint},
		{"*/0 * * * *", "", `"*/0" is not understood`, itemHint},
		{"0 0 * * 5-7/0", "", `"5-7/0" is not understood`, itemHint},
		{"0 0 * * wednesday", "", `"wednesday" is not understood`, itemHint},
		{"0 3 * * * /bin/true", "", `"/bin/true" is not understood`, itemHint},
		{"0 0 * mon *", "", "no value of its field: mon", rangeHint},
		{"0 0 * * jan", "", "no value of its field: jan", rangeHint},
		{"60 * * * *", "", "end of range (60) above maximum (59): 60", rangeHint},
		{"0 24 * * *", "", "end of range (24) above maximum (23): 24", rangeHint},
		{"0 0 0 * *", "", "beginning of range (0) below minimum (1): 0", rangeHint},
		{"0 0 * * 8", "", "end of range (8) above maximum (6): 8", rangeHint},
		{"0 0 * * 5-1", "", "beginning of range (5) beyond end of range (1): 5-1", wrapHint},
		{"0 22-2 * * *", "", "beginning of range (22) beyond end of range (2): 22-2", wrapHint},
		{"0 0 31 2 *", "", "never matches", "none of its months has such a day"},
		{"0 0 30 2 *", "Europe/Paris", "never matches", "none of its months has such a day"},
		{"0 0 31 4,6,9,11 *", "", "never matches", "none of its months has such a day"},

		{"@daily", "Local", `zone "Local" differs between machines`, zoneHint},
		{"@daily", "localtime", `zone "localtime" differs between machines`, zoneHint},
		{"@daily", "right/Europe/Paris", `zone "right/Europe/Paris" differs between machines`, zoneHint},
		{"@daily", "../etc/passwd", `zone "../etc/passwd" is not the name of a time zone`, zoneHint},
		{"@daily", "Europe/../../etc/passwd", `zone "Europe/../../etc/passwd" is not the name of a time zone`, zoneHint},
		{"@daily", "/usr/share/zoneinfo/UTC", `zone "/usr/share/zoneinfo/UTC" is not the name of a time zone`, zoneHint},
		{"@daily", `C:\UTC`, `zone "C:\\UTC" is not the name of a time zone`, zoneHint},
		{"@daily", "Europe//Paris", `zone "Europe//Paris" is not the name of a time zone`, zoneHint},
		{"@daily", "+02:00", `zone "+02:00" is not the name of a time zone`, zoneHint},
		{"@daily", "UTC\x00", `zone "UTC\x00" is not the name of a time zone`, zoneHint},
		{"@daily", "Europe", `zone "Europe" is unknown`, zoneHint},
		{"@daily", "Mars/Olympus", `zone "Mars/Olympus" is unknown`, zoneHint},
	}
	for _, test := range tests {
		t.Run(test.expression+" "+test.zone, func(t *testing.T) {
			t.Parallel()
			c, err := ParseCron(test.expression, test.zone)
			var bad *CronError
			if c != nil || !errors.As(err, &bad) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %v and %v, want a CronError that is ErrInvalid", c, err)
			}
			want := &CronError{
				Expression: test.expression[:min(256, len(test.expression))], Zone: test.zone,
				Reason: test.reason, Hint: test.hint,
			}
			if diff := cmp.Diff(want, bad); diff != "" {
				t.Error(diff)
			}
			text := fmt.Sprintf("bad cron expression %q: %s; %s", want.Expression, test.reason, test.hint)
			if err.Error() != text {
				t.Errorf("Error() = %s, want %s", err, text)
			}
		})
	}
}

func TestParseCronSpellings(t *testing.T) {
	t.Parallel()
	tests := []struct{ expression, same string }{
		{"  0   3 * * *  ", "0 3 * * *"},
		{"0 0 3 * * *", "0 3 * * *"},
		{"0 3 ? * ?", "0 3 * * *"},
		{"@hourly", "0 * * * *"},
		{"@daily", "0 0 * * *"},
		{"@midnight", "0 0 * * *"},
		{"@weekly", "0 0 * * 0"},
		{"@monthly", "0 0 1 * *"},
		{"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
		{"0 0 * JAN-Mar Mon", "0 0 * 1-3 1"},
		{"0 0 * * 7", "0 0 * * 0"},
		{"0 0 * * 07", "0 0 * * 0"},
		{"0 0 * * 7-7", "0 0 * * 0"},
		{"0 0 * * 1,7", "0 0 * * 0,1"},
		{"0 0 * * 5-7", "0 0 * * 5,6,0"},
		{"0 0 * * 5-7/2", "0 0 * * 5,0"},
		{"0 0 * * 1-7/3", "0 0 * * 1,4,0"},
		{"0 0 * * 2-7/3", "0 0 * * 2,5"},
		{"0 0 * * 0-7/3", "0 0 * * 0,3,6"},
		{"0 0 * * fri-sun", "0 0 * * 5,6,0"},
		{"0 0 * * Mon-Sun/2", "0 0 * * 1,3,5,0"},
		{"0 0 * * sat-7,3", "0 0 * * 6,0,3"},
		{"0 0 * * sun-tue", "0 0 * * 0-2"},
		{"0 0 * * sun-sun", "0 0 * * 0"},
		{"0 0 13 * 5", "0 0 13 * fri"}, // the 13th, and each Friday
	}
	for _, test := range tests {
		t.Run(test.expression, func(t *testing.T) {
			t.Parallel()
			got, want := mustCron(t, test.expression, "Europe/Paris"), mustCron(t, test.same, "Europe/Paris")
			if got.fixed != want.fixed {
				t.Errorf("fixed = %v, want %v", got.fixed, want.fixed)
			}
			from := instantOf(t, "2026-01-01T00:00:00Z")
			if diff := cmp.Diff(want.NextN(from, 60), got.NextN(from, 60)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCronFixedHours(t *testing.T) {
	t.Parallel()
	tests := map[bool][]string{
		true: {
			"0 3", "* 3", "*/5 3", "0 0-22", "0 9-17/2", "0 2/6", "0 0,12", "0 1,20/3", "0 0/24", "0 */24", "0 20-23",
			"0 10-23", "0 10/2",
		},
		false: {
			"0 *", "0 ?", "0 */2", "0 0-23", "0 00-23/3", "0 0/6", "0 3,*/4", "30 0-11,12-23", "0 3,0/8", "0 5,0-23/12",
		},
	}
	for want, hours := range tests {
		for _, hour := range hours {
			if got := mustCron(t, hour+" * * *", "").fixed; got != want {
				t.Errorf("fixed(%s) = %v, want %v", hour, got, want)
			}
		}
	}
}

// Every row was worked out by hand from the zone's rules.
func TestCronNextAcrossClockChanges(t *testing.T) {
	t.Parallel()
	tests := []struct{ zone, expression, after, want string }{
		// 2026-03-29 02:00 becomes 03:00.
		{"Europe/Paris", "30 2 * * *", "2026-03-28T00:00+01:00", "03-28T02:30+01:00 03-29T03:00+02:00 03-30T02:30+02:00"},
		{"Europe/Paris", "0 2 * * *", "2026-03-28T12:00+01:00", "03-29T03:00+02:00 03-30T02:00+02:00"},
		{"Europe/Paris", "0 3 * * *", "2026-03-28T00:00+01:00", "03-28T03:00+01:00 03-29T03:00+02:00 03-30T03:00+02:00"},
		{"Europe/Paris", "0,30 2 * * *", "2026-03-28T12:00+01:00", "03-29T03:00+02:00 03-30T02:00+02:00 03-30T02:30+02:00"},
		{"Europe/Paris", "0 2,3 * * *", "2026-03-28T12:00+01:00", "03-29T03:00+02:00 03-30T02:00+02:00 03-30T03:00+02:00"},
		{"Europe/Paris", "*/20 2-3 * * *", "2026-03-29T00:00+01:00", "03-29T03:00+02:00 03-29T03:20+02:00 03-29T03:40+02:00"},
		{"Europe/Paris", "*/30 * * * *", "2026-03-29T01:15+01:00", "03-29T01:30+01:00 03-29T03:00+02:00 03-29T03:30+02:00"},
		{"Europe/Paris", "0 * * * *", "2026-03-29T00:30+01:00", "03-29T01:00+01:00 03-29T03:00+02:00 03-29T04:00+02:00"},
		{"Europe/Paris", "0 */2 * * *", "2026-03-28T23:30+01:00", "03-29T00:00+01:00 03-29T04:00+02:00 03-29T06:00+02:00"},
		{"Europe/Paris", "0 0 * * *", "2026-03-28T12:00+01:00", "03-29T00:00+01:00 03-30T00:00+02:00"},
		{"Europe/Paris", "0 12 * * 1-5", "2026-03-27T12:00+01:00", "03-30T12:00+02:00 03-31T12:00+02:00"},
		{"Europe/Paris", "0 0 29 2 *", "2026-03-29T00:00+01:00", "2028-02-29T00:00+01:00 2032-02-29T00:00+01:00"},
		{"Europe/Paris", "30 2 29 3 *", "2026-01-01T00:00+01:00", "2026-03-29T03:00+02:00 2027-03-29T02:30+02:00"},
		// 2026-10-25 03:00 becomes 02:00.
		{"Europe/Paris", "30 2 * * *", "2026-10-24T12:00+02:00", "10-25T02:30+02:00 10-26T02:30+01:00"},
		{"Europe/Paris", "30 2 * * *", "2026-10-25T02:10+01:00", "10-26T02:30+01:00"}, // the second 02:10
		{"Europe/Paris", "0 3 * * *", "2026-10-25T02:10+01:00", "10-25T03:00+01:00 10-26T03:00+01:00"},
		{"Europe/Paris", "0 3 * * *", "2026-10-24T12:00+02:00", "10-25T03:00+01:00 10-26T03:00+01:00"},
		{"Europe/Paris", "*/30 2 * * *", "2026-10-25T02:10+02:00", "10-25T02:30+02:00 10-26T02:00+01:00"},
		{"Europe/Paris", "*/30 * * * *", "2026-10-25T02:15+02:00", "10-25T02:30+02:00 10-25T02:00+01:00 10-25T02:30+01:00 10-25T03:00+01:00"},
		{"Europe/Paris", "0 * * * *", "2026-10-25T01:30+02:00", "10-25T02:00+02:00 10-25T02:00+01:00 10-25T03:00+01:00"},
		{"Europe/Paris", "0 0 * * *", "2026-10-24T12:00+02:00", "10-25T00:00+02:00 10-26T00:00+01:00"},
		{"Europe/Paris", "0 12 * * 1-5", "2026-10-23T12:00+02:00", "10-26T12:00+01:00 10-27T12:00+01:00"},
		// 2026-03-08 02:00 becomes 03:00, 2026-11-01 02:00 becomes 01:00.
		{"America/New_York", "30 2 * * *", "2026-03-07T12:00-05:00", "03-08T03:00-04:00 03-09T02:30-04:00"},
		{"America/New_York", "0 3 * * *", "2026-03-07T12:00-05:00", "03-08T03:00-04:00 03-09T03:00-04:00"},
		{"America/New_York", "0 * * * *", "2026-03-08T00:30-05:00", "03-08T01:00-05:00 03-08T03:00-04:00"},
		{"America/New_York", "30 1 * * *", "2026-10-31T12:00-04:00", "11-01T01:30-04:00 11-02T01:30-05:00"},
		{"America/New_York", "30 2 * * *", "2026-10-31T12:00-04:00", "11-01T02:30-05:00 11-02T02:30-05:00"},
		{"America/New_York", "*/30 * * * *", "2026-11-01T01:15-04:00", "11-01T01:30-04:00 11-01T01:00-05:00 11-01T01:30-05:00 11-01T02:00-05:00"},
		{"America/New_York", "0 12 * * 1-5", "2026-10-30T12:00-04:00", "11-02T12:00-05:00"},
		// Half an hour: 2026-04-05 02:00 becomes 01:30, 2026-10-04 02:00 becomes 02:30.
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00+10:30", "10-04T02:30+11:00 10-05T02:15+11:00"},
		{"Australia/Lord_Howe", "30 2 * * *", "2026-10-03T12:00+10:30", "10-04T02:30+11:00 10-05T02:30+11:00"},
		{"Australia/Lord_Howe", "0,15,30 2 * * *", "2026-10-03T12:00+10:30", "10-04T02:30+11:00 10-05T02:00+11:00"},
		{"Australia/Lord_Howe", "*/30 * * * *", "2026-10-04T01:15+10:30", "10-04T01:30+10:30 10-04T02:30+11:00 10-04T03:00+11:00"},
		{"Australia/Lord_Howe", "0 * * * *", "2026-10-04T00:30+10:30", "10-04T01:00+10:30 10-04T03:00+11:00"},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00+11:00", "04-05T01:45+11:00 04-06T01:45+10:30"},
		{"Australia/Lord_Howe", "0 2 * * *", "2026-04-04T12:00+11:00", "04-05T02:00+10:30 04-06T02:00+10:30"},
		{"Australia/Lord_Howe", "*/30 * * * *", "2026-04-05T01:15+11:00", "04-05T01:30+11:00 04-05T01:30+10:30 04-05T02:00+10:30"},
		// Midnight: 2018-02-18 00:00 becomes 23:00 of the 17th, 2018-11-04 00:00 becomes 01:00.
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00-03:00", "11-04T01:00-02:00 11-05T00:00-02:00"},
		{"America/Sao_Paulo", "0 0,1 * * *", "2018-11-03T12:00-03:00", "11-04T01:00-02:00 11-05T00:00-02:00"},
		{"America/Sao_Paulo", "0 * * * *", "2018-11-03T22:30-03:00", "11-03T23:00-03:00 11-04T01:00-02:00"},
		{"America/Sao_Paulo", "0 */24 * * *", "2018-11-03T12:00-03:00", "11-04T01:00-02:00 11-05T00:00-02:00"},
		{"America/Sao_Paulo", "0 0 * * 0", "2018-11-03T12:00-03:00", "11-04T01:00-02:00 11-11T00:00-02:00"},
		{"America/Sao_Paulo", "0 0 * * *", "2018-02-17T12:00-02:00", "02-18T00:00-03:00 02-19T00:00-03:00"},
		{"America/Sao_Paulo", "30 23 * * *", "2018-02-17T12:00-02:00", "02-17T23:30-02:00 02-18T23:30-03:00"},
		{"America/Sao_Paulo", "*/30 * * * *", "2018-02-17T23:15-02:00", "02-17T23:30-02:00 02-17T23:00-03:00 02-17T23:30-03:00 02-18T00:00-03:00"},
		{"Asia/Beirut", "0 0 * * *", "2024-03-30T12:00+02:00", "03-31T01:00+03:00 04-01T00:00+03:00"},
		{"Asia/Beirut", "0 0 * * *", "2024-10-26T12:00+03:00", "10-27T00:00+02:00 10-28T00:00+02:00"},
		{"Asia/Beirut", "30 23 * * *", "2024-10-26T12:00+03:00", "10-26T23:30+03:00 10-27T23:30+02:00"},
		{"Asia/Beirut", "0 * * * *", "2024-10-26T22:30+03:00", "10-26T23:00+03:00 10-26T23:00+02:00 10-27T00:00+02:00"},
		// The jump of Saturday ends on Sunday: 2024-03-30 23:00 becomes 00:00 of the 31st.
		{"America/Nuuk", "30 23 * * *", "2024-03-30T12:00-02:00", "03-31T00:00-01:00 03-31T23:30-01:00"},
		// 30 December 2011, a Friday, never was.
		{"Pacific/Apia", "0 0 * * *", "2011-12-28T12:00-10:00", "12-29T00:00-10:00 12-31T00:00+14:00 2012-01-01T00:00+14:00"},
		{"Pacific/Apia", "30 2 * * *", "2011-12-29T00:00-10:00", "12-29T02:30-10:00 12-31T02:30+14:00"},
		{"Pacific/Apia", "* * 2 * * *", "2011-12-29T02:59:58-10:00", "12-29T02:59:59-10:00 12-31T02:00+14:00"},
		{"Pacific/Apia", "0 * * * *", "2011-12-29T22:30-10:00", "12-29T23:00-10:00 12-31T00:00+14:00 12-31T01:00+14:00"},
		{"Pacific/Apia", "0 12 * * 1-5", "2011-12-29T00:00-10:00", "12-29T12:00-10:00 2012-01-02T12:00+14:00"},
		{"Pacific/Apia", "0 0 30 12 *", "2011-06-01T00:00-11:00", "2012-12-30T00:00+14:00"},
		// 30 September 1969, but for its first hour, came twice.
		{"Pacific/Kwajalein", "0 12 * * *", "1969-09-29T18:00+11:00", "09-30T12:00+11:00 10-01T12:00-12:00"},
		{"Pacific/Kwajalein", "0 12 * * *", "1969-09-30T05:00-12:00", "10-01T12:00-12:00 10-02T12:00-12:00"},
		{"Pacific/Kwajalein", "0 */12 * * *", "1969-09-30T11:00+11:00", "09-30T12:00+11:00 09-30T12:00-12:00 10-01T00:00-12:00"},
		// Summer time is the standard, winter time the exception, with the same effect on the clock.
		{"Africa/Casablanca", "30 2 * * *", "2024-03-09T12:00+01:00", "03-10T02:30+01:00 03-11T02:30+00:00"},
		{"Africa/Casablanca", "30 2 * * *", "2024-04-13T12:00+00:00", "04-14T03:00+01:00 04-15T02:30+01:00"},
		{"Africa/Casablanca", "0 * * * *", "2024-03-10T01:30+01:00", "03-10T02:00+01:00 03-10T02:00+00:00 03-10T03:00+00:00"},
		{"Europe/Dublin", "30 1 * * *", "2026-03-28T12:00+00:00", "03-29T02:00+01:00 03-30T01:30+01:00"},
		{"Europe/Dublin", "30 2 * * *", "2026-03-28T12:00+00:00", "03-29T02:30+01:00 03-30T02:30+01:00"},
		{"Europe/Dublin", "30 1 * * *", "2026-10-24T12:00+01:00", "10-25T01:30+01:00 10-26T01:30+00:00"},
		{"Europe/Dublin", "*/30 * * * *", "2026-10-25T01:15+01:00", "10-25T01:30+01:00 10-25T01:00+00:00 10-25T01:30+00:00 10-25T02:00+00:00"},
		// Where package time counts wrong: the last day of a leap year, beyond the table of the zone.
		{"Europe/Paris", "0 * * * *", "2040-12-31T21:30+01:00", "12-31T22:00+01:00 12-31T23:00+01:00 2041-01-01T00:00+01:00"},
		{"Europe/Paris", "0 12 * * *", "2040-12-30T12:30+01:00", "12-31T12:00+01:00 2041-01-01T12:00+01:00"},
		{"Australia/Lord_Howe", "0 12 * * *", "2040-12-30T12:30+11:00", "12-31T12:00+11:00 2041-01-01T12:00+11:00"},
		// Where the parser gives up: 2100 is no leap year.
		{"UTC", "0 0 29 2 *", "2096-02-29T00:00+00:00", "2104-02-29T00:00+00:00 2108-02-29T00:00+00:00"},
		{"Europe/Paris", "0 * 29 2 *", "2096-02-29T22:30+01:00", "02-29T23:00+01:00 2104-02-29T00:00+01:00"},
	}
	for _, test := range tests {
		t.Run(test.zone+" "+test.expression+" "+test.after, func(t *testing.T) {
			t.Parallel()
			c := mustCron(t, test.expression, test.zone)
			after := instantOf(t, test.after)
			want := strings.Fields(test.want)
			for i, tick := range want {
				if strings.Index(tick, "T") == len("01-02") {
					want[i] = test.after[:len("2006-")] + tick // the year goes without saying
				}
			}
			if diff := cmp.Diff(want, shownAt(c.zone, c.NextN(after, len(want)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCronEvery(t *testing.T) {
	t.Parallel()
	c := mustCron(t, "@every 1h30m", "Europe/Paris")
	from := instantOf(t, "2026-03-29T01:00:00+01:00").Add(700 * time.Millisecond)
	want := []string{"2026-03-29T03:30+02:00", "2026-03-29T05:00+02:00", "2026-03-29T06:30+02:00"}
	if diff := cmp.Diff(want, shownAt(c.zone, c.NextN(from, 3))); diff != "" {
		t.Error(diff)
	}
	tick, ok := c.Latest(from, instantOf(t, "2026-03-29T06:29:59+02:00"))
	if want := instantOf(t, "2026-03-29T05:00+02:00"); !ok || !tick.Equal(want) {
		t.Errorf("Latest = %v, %v, want %v", tick, ok, want)
	}
	tick, ok = c.Latest(instantOf(t, "1900-01-01T00:00Z"), instantOf(t, "9999-12-31T23:59:59Z"))
	if want := instantOf(t, "9999-12-31T22:30Z"); !ok || !tick.Equal(want) {
		t.Errorf("Latest = %v, %v, want %v", tick, ok, want)
	}
}

func TestCronAtTheEndsOfTime(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{"* * * * * *", "0 3 * * *", "0 0 29 2 *", "@every 1s", "@every 8760h"} {
		for _, zone := range []string{"UTC", "Europe/Paris", "Pacific/Kiritimati", "Pacific/Niue"} {
			c := mustCron(t, expression, zone)
			if next := c.Next(time.Time{}); next.Year() < 1900 || next.Year() > 1904 {
				t.Errorf("%s %s: Next(zero) = %v", expression, zone, next)
			}
			for _, after := range []time.Time{cronLast, cronLast.Add(time.Hour), time.Unix(1<<60, 0)} {
				if next := c.Next(after); !next.IsZero() {
					t.Errorf("%s %s: Next(%v) = %v, want zero", expression, zone, after, next)
				}
			}
			if ticks := c.NextN(cronLast.Add(-time.Minute), 1000); len(ticks) > 60 {
				t.Errorf("%s %s: %d ticks in the last minute", expression, zone, len(ticks))
			}
		}
	}
	now := time.Now()
	if got, want := mustCron(t, "* * * * * *", "").Next(now), now.Truncate(time.Second).Add(time.Second).UTC(); got != want {
		t.Errorf("Next(now) = %v, want %v, without a monotonic clock", got, want)
	}
	if got := mustCron(t, "@daily", "").NextN(cronFirst, 0); got != nil {
		t.Errorf("NextN(0) = %v", got)
	}
}

func TestCronLatest(t *testing.T) {
	t.Parallel()
	tests := []struct{ expression, from, to, want string }{
		{"0 3 * * *", "2020-01-01T00:00Z", "2026-03-30T12:00+02:00", "2026-03-30T03:00+02:00"},
		{"30 2 * * *", "2020-01-01T00:00Z", "2026-03-29T12:00+02:00", "2026-03-29T03:00+02:00"},
		{"30 2 * * *", "2020-01-01T00:00Z", "2026-10-25T02:45+01:00", "2026-10-25T02:30+02:00"},
		{"30 * * * *", "2020-01-01T00:00Z", "2026-10-25T02:45+01:00", "2026-10-25T02:30+01:00"},
		{"0 3 * * *", "2026-03-30T00:00+02:00", "2026-03-30T03:00+02:00", "2026-03-30T03:00+02:00"},
		{"0 3 * * *", "2026-03-30T03:00+02:00", "2026-03-31T02:59:59+02:00", ""},
		{"0 3 * * *", "2026-03-30T03:00+02:00", "2026-03-30T03:00+02:00", ""},
		{"0 3 * * *", "2026-03-30T03:00+02:00", "2020-01-01T00:00Z", ""},
		{"0 0 29 2 *", "1901-01-01T00:00Z", "2026-01-01T00:00Z", "2024-02-29T00:00+01:00"},
		{"* * 0-22 * * *", "1950-01-01T00:00Z", "2026-03-30T23:30+02:00", "2026-03-30T22:59:59+02:00"},
		{"* * * * * *", "1900-01-01T00:00Z", "9999-12-31T23:59:59Z", "10000-01-01T00:59:59+01:00"},
	}
	for _, test := range tests {
		c := mustCron(t, test.expression, "Europe/Paris")
		tick, ok := c.Latest(instantOf(t, test.from), instantOf(t, test.to))
		if ok != (test.want != "") {
			t.Errorf("%s: Latest(%s, %s) = %v, %v", test.expression, test.from, test.to, tick, ok)
		} else if got := shownAt(c.zone, []time.Time{tick}); ok && got[0] != test.want {
			t.Errorf("%s: Latest(%s, %s) = %s, want %s", test.expression, test.from, test.to, got, test.want)
		}
	}
}

// Zones with every kind of clock change; all offsets are whole minutes since 1975.
var cronTestZones = []string{
	"UTC", "Europe/Paris", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "America/Havana", "America/Nuuk",
	"America/Scoresbysund", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kwajalein",
	"Pacific/Kiritimati", "Asia/Beirut", "Asia/Kathmandu", "Asia/Pyongyang", "Asia/Tehran", "Africa/Cairo",
	"Africa/Casablanca", "Antarctica/Troll", "Antarctica/Casey",
}

func TestCronNextIsOrderedUTCAndRepeatable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		field := drawCronFields(rt)
		zone := rapid.SampledFrom(cronTestZones).Draw(rt, "zone")
		c, err := ParseCron(field.expression(), zone)
		if err != nil {
			if strings.Contains(err.Error(), "never matches") {
				rt.Skip()
			}
			rt.Fatal(err)
		}
		after := drawTime(rt, c.zone).Add(time.Duration(rapid.IntRange(0, 1e9-1).Draw(rt, "nanosecond")))
		again, _ := ParseCron(field.expression(), zone)
		last := after
		ticks := c.NextN(after, 20)
		if len(ticks) != 20 {
			rt.Fatalf("only %d ticks", len(ticks))
		}
		for _, tick := range ticks {
			if !tick.After(last) || tick.Location() != time.UTC || tick.Nanosecond() != 0 {
				rt.Fatalf("%v follows %v", tick, last)
			}
			between := last.Add(time.Duration(rapid.Int64Range(0, int64(tick.Sub(last))-1).Draw(rt, "between")))
			for _, from := range []time.Time{last, last.In(c.zone), between, tick.Add(-1)} {
				if got := again.Next(from); got != tick {
					rt.Fatalf("Next(%v) = %v, want %v", from, got, tick)
				}
			}
			if got, ok := c.Latest(after, tick.Add(-1)); ok != (last != after) || ok && got != last {
				rt.Fatalf("Latest before %v = %v, %v, want %v", tick, got, ok, last)
			}
			last = tick
		}
	})
}

// The clock is watched minute by minute, without any knowledge of when or how it changes.
func TestCronAgreesWithAWatchedClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		field := drawCronFields(rt)
		zone := rapid.SampledFrom(cronTestZones).Draw(rt, "zone")
		c, err := ParseCron(field.expression(), zone)
		if err != nil {
			rt.Skip()
		}
		if c.fixed != field.fixed {
			rt.Fatalf("fixed(%s) = %v", field.expression(), c.fixed)
		}
		after := drawTime(rt, c.zone).Truncate(time.Minute)
		until := after.Add(72 * time.Hour)
		want := watchedTicks(watchClock(c.zone, after, until), field.matches, field.fixed)
		var got []time.Time
		for tick := c.Next(after); !tick.After(until); tick = c.Next(tick) {
			got = append(got, tick)
		}
		if diff := cmp.Diff(shownAt(c.zone, want), shownAt(c.zone, got)); diff != "" {
			rt.Fatalf("%s %s after %v:\n%s", zone, field.expression(), after.In(c.zone), diff)
		}
	})
}

// watchedMinute is what somebody who looks at a zone's clock once a minute notes down.
type watchedMinute struct {
	at     time.Time
	shown  time.Time   // what the clock shows, written as UTC
	passed []time.Time // each minute of an existing date that the clock now shows or jumped over, for the first time
}

// watchClock looks at the clock from after until then, and for two days before, so as to know what it showed already.
func watchClock(zone *time.Location, after, until time.Time) (minutes []watchedMinute) {
	look := func(t time.Time) time.Time {
		local := t.In(zone)
		return time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), 0, 0, time.UTC)
	}
	date := func(wall time.Time) time.Time { return wall.Truncate(24 * time.Hour) }
	start := after.Add(-48 * time.Hour)
	before := look(start)
	highest := before
	for t := start; !t.After(until); t = t.Add(time.Minute) {
		minute := watchedMinute{at: t, shown: look(t)}
		for highest.Before(minute.shown) {
			highest = highest.Add(time.Minute)
			if date(highest).Equal(date(before)) || date(highest).Equal(date(minute.shown)) {
				minute.passed = append(minute.passed, highest)
			}
		}
		before = minute.shown
		if t.After(after) {
			minutes = append(minutes, minute)
		}
	}
	return minutes
}

func watchedTicks(minutes []watchedMinute, matches func(wall time.Time) bool, fixed bool) (ticks []time.Time) {
	for _, minute := range minutes {
		if fixed && slices.ContainsFunc(minute.passed, matches) || !fixed && matches(minute.shown) {
			ticks = append(ticks, minute.at)
		}
	}
	return ticks
}

func TestCronDailyFiresOncePerDate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		hour, minute := rapid.IntRange(0, 23).Draw(rt, "hour"), rapid.IntRange(0, 59).Draw(rt, "minute")
		zone := rapid.SampledFrom(cronTestZones).Draw(rt, "zone")
		c, err := ParseCron(fmt.Sprintf("%d %d * * *", minute, hour), zone)
		if err != nil {
			rt.Fatal(err)
		}
		after := drawTime(rt, c.zone).Add(-5 * 24 * time.Hour)
		var want, got []string
		for _, tick := range c.NextN(after, 10) {
			got = append(got, dateOfDailyTick(tick.In(c.zone), hour, minute))
		}
		// The dates that the clock shows, from that of the first tick on.
		for t := after.Add(-48 * time.Hour); len(want) < 10; t = t.Add(15 * time.Minute) {
			if date := t.In(c.zone).Format(time.DateOnly); date >= got[0] && (want == nil || date > want[len(want)-1]) {
				want = append(want, date)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s %02d:%02d after %v:\n%s", zone, hour, minute, after, diff)
		}
	})
}

// dateOfDailyTick returns the date that a tick belongs to: its own, unless it was moved by a jump over midnight.
func dateOfDailyTick(tick time.Time, hour, minute int) string {
	before := tick.Add(-time.Second)
	eve := time.Date(before.Year(), before.Month(), before.Day(), hour, minute, 0, 0, time.UTC)
	_, offset := before.Zone()
	if moved := tick.Hour() != hour || tick.Minute() != minute; moved && eve.After(before.Add(time.Duration(offset)*time.Second)) {
		return before.Format(time.DateOnly)
	}
	return tick.Format(time.DateOnly)
}

// cronFieldsDraw is an expression that a test made up, and what it means.
type cronFieldsDraw struct {
	texts                     [5]string
	sets                      [5]map[int]bool
	anyDay, anyWeekday, fixed bool
}

func drawCronFields(rt *rapid.T) *cronFieldsDraw {
	d := &cronFieldsDraw{}
	for i, bounds := range [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}} {
		low, high := bounds[0], bounds[1]
		forms := []string{"*", "list", "range", "step", "range/step"}
		if i == 2 || i == 3 {
			forms = []string{"*", "*", "*", "list", "step"} // else most draws match on few days
		}
		form := rapid.SampledFrom(forms).Draw(rt, "form")
		from, to, step := low, high, 1
		if strings.Contains(form, "range") {
			from = rapid.IntRange(low, high).Draw(rt, "from")
			to = rapid.IntRange(from, high).Draw(rt, "to")
		}
		if strings.Contains(form, "step") {
			step = rapid.IntRange(1, 30).Draw(rt, "step")
		}
		set := map[int]bool{}
		var text string
		switch form {
		case "*":
			text = "*"
		case "step":
			text = fmt.Sprintf("*/%d", step)
		case "range":
			text = fmt.Sprintf("%d-%d", from, to)
		case "range/step":
			text = fmt.Sprintf("%d-%d/%d", from, to, step)
		case "list":
			values := rapid.SliceOfNDistinct(rapid.IntRange(low, high), 1, 5, rapid.ID[int]).Draw(rt, "values")
			var items []string
			for _, value := range values {
				items = append(items, strconv.Itoa(value))
				set[value] = true
			}
			text = strings.Join(items, ",")
		}
		if form != "list" {
			for value := from; value <= to; value += step {
				set[value] = true
			}
		}
		star := strings.HasPrefix(text, "*")
		if i == 4 && star {
			delete(set, 7) // a star means 0-6
		} else if i == 4 && set[7] {
			set[0] = true
		}
		switch i {
		case 1:
			whole := star || from == low && to == high && form != "list"
			d.fixed = len(set) == 1 || !whole
		case 2:
			d.anyDay = star && step == 1
		case 4:
			d.anyWeekday = star && step == 1
		}
		d.texts[i], d.sets[i] = text, set
	}
	return d
}

func (d *cronFieldsDraw) expression() string { return strings.Join(d.texts[:], " ") }

func (d *cronFieldsDraw) matches(wall time.Time) bool {
	day, weekday := d.sets[2][wall.Day()], d.sets[4][int(wall.Weekday())]
	onDay := day || weekday
	if d.anyDay || d.anyWeekday {
		onDay = day && weekday
	}
	return onDay && d.sets[0][wall.Minute()] && d.sets[1][wall.Hour()] && d.sets[3][int(wall.Month())]
}

// drawTime returns a time from 1975 to 2045, mostly near a clock change.
func drawTime(rt *rapid.T, zone *time.Location) time.Time {
	low, high := int64(157766400), int64(2366841600)
	t := time.Unix(rapid.Int64Range(low, high).Draw(rt, "unix"), 0)
	if start, _ := t.In(zone).ZoneBounds(); start.Unix() > low && rapid.IntRange(0, 9).Draw(rt, "near") > 0 {
		t = start.Add(time.Duration(rapid.IntRange(-40*3600, 3*3600).Draw(rt, "distance")) * time.Second)
	}
	return t.UTC()
}

// The offset and the end of each stretch, against a look at the clock every seven hours of a century.
func TestCronStretch(t *testing.T) {
	t.Parallel()
	for _, zone := range append(cronTestZones, "Africa/Monrovia", "Europe/Amsterdam", "Asia/Manila", "America/Toronto") {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			c := mustCron(t, "@daily", zone)
			hour := instantOf(t, "1960-01-01T00:00Z")
			offset, end := c.stretch(hour)
			for ; hour.Year() < 2060; hour = hour.Add(7 * time.Hour) {
				for !end.IsZero() && !end.After(hour) {
					begin := end
					if offset, end = c.stretch(begin); !end.IsZero() && !end.After(begin) {
						t.Fatalf("the stretch at %v ends at %v", begin, end)
					}
				}
				if _, seconds := hour.In(c.zone).Zone(); time.Duration(seconds)*time.Second != offset {
					t.Fatalf("offset at %v is %ds, not %v", hour, seconds, offset)
				}
			}
		})
	}
}

func FuzzParseCron(f *testing.F) {
	for _, expression := range []string{
		"0 3 * * *", "*/30 * * * *", "30 2 * * *", "0 0 29 2 *", "0 12 * * 1-5", "59 59 23 31 12 7", "@daily", "@every 90s",
		"TZ=", "TZ=0", "CRON_TZ=UTC", "TZ=Europe/Rome 0 3 * * *", "@reboot", "@Daily", "0 0 31 2 *", "0 0 L * *", "0 0 * * 5#3",
		"H * * * *", "5-1 * * * *", "*/0 * * * *", "1,,2 * * * *", "0 0 * * fri-sun/2", "* * 0-22 * * *", "\x00", "∗ * * * *",
	} {
		for _, zone := range []string{"", "Europe/Paris", "Pacific/Apia", "../UTC"} {
			f.Add(expression, zone, int64(1774742400), int64(999_999_999))
		}
	}
	f.Fuzz(func(t *testing.T, expression, zone string, second, nanosecond int64) {
		c, err := ParseCron(expression, zone)
		if err != nil {
			var bad *CronError
			if c != nil || !errors.As(err, &bad) || bad.Reason == "" || bad.Hint == "" || len(err.Error()) > 2000 {
				t.Fatalf("ParseCron(%q, %q) = %v, %v", expression, zone, c, err)
			}
			return
		}
		after := time.Unix(second, nanosecond)
		first := after
		for range 5 {
			next := c.Next(after)
			if next.IsZero() {
				if y := after.UTC().Year(); y < 9991 {
					t.Fatalf("%q %q: no tick after %v", expression, zone, after.UTC())
				}
				return
			}
			if !next.After(after) || next.Location() != time.UTC || next.Nanosecond() != 0 {
				t.Fatalf("%q %q: Next(%v) = %v", expression, zone, after.UTC(), next)
			}
			if tick, ok := c.Latest(first, next); !ok || tick != next {
				t.Fatalf("%q %q: Latest(%v, %v) = %v, %v", expression, zone, first.UTC(), next, tick, ok)
			}
			after = next
		}
	})
}

// Each file of testdata/cron is a zone: its clock changes in some years, and the four ticks of each expression that
// follow the moment 75 minutes before the change. Ticks after 2026 are left out, for laws can change them.
func TestCronGolden(t *testing.T) {
	t.Parallel()
	zones := map[string][]int{
		"Europe/Paris": {2016, 2024, 2026}, "Europe/Dublin": {1971, 2024, 2026}, "America/New_York": {2006, 2007, 2026},
		"America/Sao_Paulo": {2017, 2018, 2019}, "America/Havana": {2012, 2013, 2024}, "America/Nuuk": {2022, 2023, 2024},
		"Australia/Lord_Howe": {1985, 2024, 2026}, "Pacific/Apia": {2010, 2011, 2012}, "Asia/Beirut": {2021, 2022, 2024},
		"Africa/Cairo": {2010, 2014, 2024}, "Africa/Casablanca": {2018, 2019, 2024}, "Antarctica/Troll": {2016, 2024, 2025},
	}
	expressions := []string{
		"0 0 * * *", "30 0 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "15,45 2 * * *", "0 3 * * *", "*/20 1-3 * * *",
		"30 23 * * *", "0 12 * * 1-5", "0 0 * * 7", "0 0 1 * *", "0 0 29 2 *", "30 2 13 * 5", "0 */2 * * *", "0 */24 * * *",
		"0 * * * *", "*/30 * * * *", "30 */40 0-23 * * *", "@every 1h30m",
	}
	for zone, years := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			for _, change := range clockChanges(t, zone, years) {
				fmt.Fprintf(&text, "%s becomes %s\n", change.Add(-time.Second).Format(time.RFC3339), change.Format(time.RFC3339))
				after := change.Add(-75 * time.Minute)
				minutes := watchClock(change.Location(), after, after.Add(60*time.Hour))
				for _, expression := range expressions {
					c := mustCron(t, expression, zone)
					ticks := c.NextN(after, 4)
					checkWatched(t, c, minutes, ticks)
					ticks = slices.DeleteFunc(ticks, func(tick time.Time) bool { return tick.Year() > 2026 })
					fmt.Fprintf(&text, "  %-19s %s\n", expression, strings.Join(shownAt(c.zone, ticks), " "))
				}
			}
			checkCronGolden(t, filepath.Join("testdata", "cron", strings.ReplaceAll(zone, "/", "_")+".golden"), text.String())
		})
	}
}

// checkWatched compares ticks with those of a watched clock, lest the golden files merely record what the code does.
func checkWatched(t *testing.T, c *Cron, minutes []watchedMinute, ticks []time.Time) {
	t.Helper()
	if c.every > 0 || c.spec.Second != 1 {
		return
	}
	has := func(set uint64, value int) bool { return set>>value&1 == 1 }
	matches := func(wall time.Time) bool {
		day, weekday := has(c.spec.Dom, wall.Day()), has(c.spec.Dow, int(wall.Weekday()))
		onDay := day || weekday
		if has(c.spec.Dom, 63) || has(c.spec.Dow, 63) {
			onDay = day && weekday
		}
		return onDay && has(c.spec.Month, int(wall.Month())) && has(c.spec.Hour, wall.Hour()) && has(c.spec.Minute, wall.Minute())
	}
	want := watchedTicks(minutes, matches, c.fixed)
	want = want[:min(len(ticks), len(want))]
	last := minutes[len(minutes)-1].at
	got := slices.DeleteFunc(slices.Clone(ticks), func(tick time.Time) bool { return tick.After(last) })
	if diff := cmp.Diff(shownAt(c.zone, want), shownAt(c.zone, got)); diff != "" {
		t.Error(diff)
	}
}

func checkCronGolden(t *testing.T, path, got string) {
	t.Helper()
	if *cronUpdate {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func clockChanges(t *testing.T, zone string, years []int) (changes []time.Time) {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	for _, year := range years {
		hour := time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC).In(location)
		for ; hour.UTC().Year() == year; hour = hour.Add(time.Hour) {
			_, before := hour.Add(-time.Hour).Zone()
			if _, now := hour.Zone(); now != before {
				start, _ := hour.ZoneBounds()
				changes = append(changes, start)
			}
		}
	}
	return changes
}

func mustCron(t *testing.T, expression, zone string) *Cron {
	t.Helper()
	c, err := ParseCron(expression, zone)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func instantOf(t *testing.T, text string) time.Time {
	t.Helper()
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil {
		instant, err = time.Parse("2006-01-02T15:04Z07:00", text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

func shownAt(zone *time.Location, ticks []time.Time) (texts []string) {
	for _, tick := range ticks {
		layout := "2006-01-02T15:04-07:00"
		if tick.Second() != 0 {
			layout = "2006-01-02T15:04:05-07:00"
		}
		texts = append(texts, tick.In(zone).Format(layout))
	}
	return texts
}

func BenchmarkCronNext(b *testing.B) {
	for _, expression := range []string{"*/5 * * * *", "30 2 * * *", "0 12 * * 1-5", "0 0 29 2 *", "0 * 29 2 *"} {
		b.Run(expression, func(b *testing.B) {
			c, err := ParseCron(expression, "Europe/Paris")
			if err != nil {
				b.Fatal(err)
			}
			after := time.Date(2026, time.March, 28, 12, 0, 0, 0, time.UTC)
			for b.Loop() {
				c.Next(after)
			}
		})
	}
}
