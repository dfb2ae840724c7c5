package privatepg

import (
	"os"
	"runtime"
	"strings"
)

// NotFoundError is returned by Start and Major when the machine has no PostgreSQL server that they can use.
// Its text has three parts: what, why, and the one command to run.
type NotFoundError struct {
	Why     string // where was looked, and what was wrong with what was found
	Command string // installs PostgreSQL on this system; "" = not known for it
}

func (e *NotFoundError) Error() string {
	next := "install the PostgreSQL server of your system, or set SCHEDULER_PG_BINDIR to the directory that holds initdb"
	if e.Command != "" {
		next = "run: " + e.Command
	}
	return "no usable PostgreSQL server found on this machine\n" + e.Why + "\n" + next
}

func notFound(why string) *NotFoundError {
	release, _ := os.ReadFile("/etc/os-release") // missing on macOS and rare systems: then the system is unknown
	return &NotFoundError{Why: why, Command: installCommand(runtime.GOOS, string(release), os.Geteuid() == 0)}
}

// installCommand is the one line that installs a PostgreSQL server, or "" for a system that we do not know.
func installCommand(goos, osRelease string, root bool) string {
	if goos == "darwin" {
		return "brew install postgresql@17"
	}
	commands := map[string]string{
		"debian": "apt-get install -y postgresql",
		"ubuntu": "apt-get install -y postgresql",
		"fedora": "dnf install -y postgresql-server",
		"rhel":   "dnf install -y postgresql-server",
		"alpine": "apk add postgresql",
		"arch":   "pacman -S --noconfirm postgresql",
		"suse":   "zypper install -y postgresql-server",
	}
	for _, system := range systems(osRelease) {
		if command, ok := commands[system]; ok {
			if root {
				return command
			}
			return "sudo " + command
		}
	}
	return ""
}

// systems names the system that an os-release file describes, then those that it is like.
func systems(osRelease string) []string {
	var id, like []string
	for line := range strings.Lines(osRelease) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ID":
			id = strings.Fields(strings.Trim(value, `"'`))
		case "ID_LIKE":
			like = strings.Fields(strings.Trim(value, `"'`))
		}
	}
	return append(id, like...)
}
