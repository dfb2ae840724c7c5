package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Descendants lists the processes that a process has started, and those that they have, whose command lines hold all of the words,
// and none of those that stand behind a "!". As long as a program that was started has not begun, its command line is that of the
// one that starts it. The youngest are looked at first: those that end soon are among them, and a look at all takes long on a busy
// machine. Linux only; elsewhere there are none.
func Descendants(pid int, words ...string) (pids []int) {
	parents, lines := map[int]int{}, map[int]string{}
	for _, pid := range pidsDown() {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // state, parent, …
		parents[pid], _ = strconv.Atoi(fields[1])
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		lines[pid] = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
	}
	for child, line := range lines {
		if descends(child, pid, parents) && matches(line, words) {
			pids = append(pids, child)
		}
	}
	return pids
}

// pidsDown are all processes, from the highest id.
func pidsDown() (pids []int) {
	entries, _ := os.ReadDir("/proc") // none: there is no such directory here
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.SortFunc(pids, func(a, b int) int { return b - a })
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

func matches(line string, words []string) bool {
	for _, word := range words {
		if without, not := strings.CutPrefix(word, "!"); strings.Contains(line, without) == not {
			return false
		}
	}
	return true
}
