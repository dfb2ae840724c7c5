package ui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cronWords says a cron expression in English, or "" for one whose words would be no clearer than itself.
func cronWords(expression string) string {
	fields := strings.Fields(expression)
	switch {
	case len(fields) == 2 && fields[0] == "@every":
		d, err := time.ParseDuration(fields[1])
		if err != nil {
			return ""
		}
		return "every " + exactly(d)
	case len(fields) == 1:
		return map[string]string{"@hourly": "every hour", "@daily": "every day at 00:00", "@midnight": "every day at 00:00",
			"@weekly": "every Sunday at 00:00", "@monthly": "on day 1 of the month at 00:00", "@yearly": "on January 1 at 00:00",
			"@annually": "on January 1 at 00:00"}[fields[0]]
	case len(fields) == 6 && fields[0] == "0":
		fields = fields[1:]
	}
	if len(fields) != 5 {
		return ""
	}
	clock, ok := clockWords(fields[0], fields[1])
	days, fine := dayWords(fields[2], fields[3], fields[4])
	if !ok || !fine {
		return ""
	}
	if strings.HasPrefix(clock, "every") {
		return strings.TrimSpace(clock + " " + strings.TrimPrefix(days, "every day"))
	}
	return days + " " + clock
}

// clockWords says minute and hour.
func clockWords(minute, hour string) (words string, ok bool) {
	if step, found := strings.CutPrefix(minute, "*/"); found || minute == "*" {
		every := "every minute"
		if n, err := strconv.Atoi(step); found && (err != nil || n < 1 || 60%n != 0) {
			return "", false // it begins anew with each hour
		} else if found && n > 1 {
			every = "every " + step + " minutes"
		}
		if hour == "*" {
			return every, true
		}
		span, ok := hourSpan(hour)
		return every + " " + span, ok
	}
	minutes, ok := numbers(minute, 0, 59)
	if !ok {
		return "", false
	}
	if step, found := strings.CutPrefix(hour, "*/"); found && len(minutes) == 1 {
		n, err := strconv.Atoi(step)
		if err != nil || n < 1 || 24%n != 0 {
			return "", false // it begins anew with each day
		}
		if n > 1 {
			return "every " + step + " hours at minute " + minute, true
		}
		hour = "*"
	}
	if hour == "*" {
		if len(minutes) == 1 && minutes[0] == 0 {
			return "every hour", true
		}
		return "every hour at minute " + and(texts(minutes)), true
	}
	if span, ok := hourSpan(hour); ok && strings.Contains(hour, "-") {
		return "every hour " + span + " at minute " + and(texts(minutes)), true
	}
	hours, ok := numbers(hour, 0, 23)
	if !ok || len(hours)*len(minutes) > 6 {
		return "", false
	}
	var clocks []string
	for _, h := range hours {
		for _, m := range minutes {
			clocks = append(clocks, fmt.Sprintf("%02d:%02d", h, m))
		}
	}
	return "at " + and(clocks), true
}

// hourSpan says hours that follow each other, or one.
func hourSpan(hour string) (string, bool) {
	from, to, _ := strings.Cut(hour, "-")
	first, err := strconv.Atoi(from)
	last := first
	if err == nil && strings.Contains(hour, "-") {
		last, err = strconv.Atoi(to)
	}
	return fmt.Sprintf("from %02d:00 to %02d:59", first, last), err == nil
}

var (
	weekdays = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	months   = []string{"", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
)

// dayWords says day of the month, month and day of the week. Where both kinds of day are given, either will do, which words
// hardly tell.
func dayWords(day, month, weekday string) (words string, ok bool) {
	switch {
	case day == "?":
		day = "*"
	case weekday == "?":
		weekday = "*"
	}
	in := ""
	if month != "*" {
		names, ok := named(month, months, 1)
		if !ok {
			return "", false
		}
		in = " in " + and(names)
	}
	switch {
	case day == "*" && weekday == "*":
		return "every day" + in, true
	case day == "*" && (weekday == "1-5" || strings.EqualFold(weekday, "mon-fri")):
		return "on weekdays" + in, true
	case day == "*":
		names, ok := named(weekday, weekdays, 0)
		return "every " + and(names) + in, ok
	case weekday == "*":
		days, ok := numbers(day, 1, 31)
		if in == "" {
			in = " of the month"
		}
		noun := "day "
		if len(days) > 1 {
			noun = "days "
		}
		return "on " + noun + and(texts(days)) + in, ok
	}
	return "", false
}

// named spells the numbers, or the first letters, of a field as names.
func named(field string, names []string, least int) (list []string, ok bool) {
	field = strings.ToLower(field)
	for i, name := range names {
		if name != "" {
			field = strings.ReplaceAll(field, strings.ToLower(name[:3]), strconv.Itoa(i)) // Sunday is 0, then no more found as 7
		}
	}
	values, ok := numbers(field, least, len(names)-1)
	for _, v := range values {
		list = append(list, names[v])
	}
	return slices.Compact(list), ok
}

// numbers reads a list of numbers and ranges.
func numbers(field string, least, most int) (list []int, ok bool) {
	for part := range strings.SplitSeq(field, ",") {
		from, to, span := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && span {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < least || last > most || first > last {
			return nil, false
		}
		for n := first; n <= last; n++ {
			list = append(list, n)
		}
	}
	return list, true
}

func texts(numbers []int) (list []string) {
	for _, n := range numbers {
		list = append(list, strconv.Itoa(n))
	}
	return list
}

// and joins words: a, b and c.
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
