package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Descendants lists the processes that a process has started, and those that they have, whose command lines hold all of the words,
// and none of those that stand behind a "!". As long as a program that was started has not begun, its command line is that of the
// one that starts it. Linux only; elsewhere there are none.
func Descendants(pid int, words ...string) (pids []int) {
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))               // digits only
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // state, parent, …
		parents[child], _ = strconv.Atoi(fields[1])
	}
	for child := range parents {
		if descends(child, pid, parents) && matches(commandLine(child), words) {
			pids = append(pids, child)
		}
	}
	return pids
}

func descends(pid, from int, parents map[int]int) bool {
	for pid = parents[pid]; pid > 1; pid = parents[pid] {
		if pid == from {
			return true
		}
	}
	return false
}

func commandLine(pid int) string {
	line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")) // it may have ended
	return string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
}

func matches(line string, words []string) bool {
	for _, word := range words {
		if without, not := strings.CutPrefix(word, "!"); strings.Contains(line, without) == not {
			return false
		}
	}
	return true
}
