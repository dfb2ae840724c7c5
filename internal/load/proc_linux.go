package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc/*/stat, USER_HZ.
const tick = 10 * time.Millisecond

// server is a PostgreSQL on this machine.
type server struct{ postmaster int }

// findServer finds the server of a backend.
func findServer(backend int) (*server, error) {
	title, err := os.ReadFile(procFile(strconv.Itoa(backend), "cmdline"))
	if err != nil || !bytes.HasPrefix(title, []byte("postgres:")) {
		return nil, errors.New("its processes are not among this machine's")
	}
	stat, err := readStat(strconv.Itoa(backend))
	if err != nil {
		return nil, err
	}
	return &server{postmaster: stat.parent}, nil
}

// cpuLooks is how often cpu looks again because a process has ended meanwhile, which would be counted nowhere, or twice.
const cpuLooks = 10

// cpu is what all processes of the server have used since its start: the postmaster and its live children, and those that
// have ended, of which the postmaster keeps account.
func (s *server) cpu() (time.Duration, error) {
	before, err := readStat(strconv.Itoa(s.postmaster))
	for look := 1; err == nil; look++ {
		var alive time.Duration
		if alive, err = s.alive(); err != nil {
			break
		}
		var after stat
		if after, err = readStat(strconv.Itoa(s.postmaster)); err == nil && (after.children == before.children || look == cpuLooks) {
			return after.own + after.children + alive, nil
		}
		before = after
	}
	return 0, err
}

// alive is what the children of the postmaster have used that have not ended.
func (s *server) alive() (total time.Duration, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		pid := filepath.Base(filepath.Dir(path))
		child, err := readStat(pid)
		if err != nil || child.parent != s.postmaster {
			continue // it ended meanwhile, or is another's
		}
		total += child.exact(pid)
	}
	return total, nil
}

// stat is what we need of proc(5), /proc/[pid]/stat.
type stat struct {
	parent        int
	own, children time.Duration
}

func readStat(pid string) (s stat, err error) {
	raw, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return s, err
	}
	end := bytes.LastIndexByte(raw, ')') // the name before it may hold anything
	fields := strings.Fields(string(raw[end+1:]))
	const parent, utime, stime, cutime, cstime = 1, 11, 12, 13, 14
	if len(fields) <= cstime {
		return s, fmt.Errorf("/proc/%s/stat: cut short", pid)
	}
	s.parent, _ = strconv.Atoi(fields[parent])
	s.own = ticks(fields[utime]) + ticks(fields[stime])
	s.children = ticks(fields[cutime]) + ticks(fields[cstime])
	return s, nil
}

func ticks(field string) time.Duration {
	n, _ := strconv.ParseInt(field, 10, 64) // the kernel writes numbers
	return time.Duration(n) * tick
}

// exact is the process's own CPU time in nanoseconds where the kernel keeps that, which it does by default.
func (s stat) exact(pid string) time.Duration {
	raw, err := os.ReadFile(procFile(pid, "schedstat"))
	first, _, _ := strings.Cut(string(raw), " ")
	if ns, parseErr := strconv.ParseInt(first, 10, 64); err == nil && parseErr == nil && ns > 0 {
		return time.Duration(ns)
	}
	return s.own
}

// host is where the machine's CPU time went since its start, in ticks.
type host struct{ all, stolen float64 }

func readHost() (h host) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return h
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	const steal, guest = 8, 9 // of: cpu user nice system idle iowait irq softirq steal guest guest_nice
	for i, field := range strings.Fields(line) {
		v, _ := strconv.ParseFloat(field, 64)
		if i == 0 || i >= guest { // guest time is in user time already
			continue
		}
		h.all += v
		if i == steal {
			h.stolen = v
		}
	}
	return h
}

// steal is which percentage of the CPU time since before the machine's own host took away; nil: unknown.
func (h host) steal(before host) *float64 {
	if h.all <= before.all {
		return nil
	}
	return Figure(100 * (h.stolen - before.stolen) / (h.all - before.all))
}

// Memory returns how much memory this process has in use now, and had at most, in bytes; 0: unknown.
func Memory() (now, peak int64) {
	raw, _ := os.ReadFile("/proc/self/status") // then nothing is found in it
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(line, ":")
		kB, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kB * 1024
		case "VmHWM":
			peak = kB * 1024
		}
	}
	return now, peak
}

func procFile(pid, name string) string { return filepath.Join("/proc", pid, name) }
