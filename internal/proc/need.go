package proc

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// packages are what Debian calls the package of a program, or of an extension of PHP, that is not called like it.
var packages = map[string]string{"php": "php-cli", "php pdo_pgsql": "php-pgsql", "php pcntl": "php-cli", "node": "nodejs", "tsc": "node-typescript"}

// Need skips the test when one of the programs is missing, "php pdo_pgsql" being an extension of PHP; with CI=true that is a
// failure.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if there(program) {
			continue
		}
		pack := program
		if packages[program] != "" {
			pack = packages[program]
		}
		if message := fmt.Sprintf("there is no %s; on Debian: apt-get install %s", program, pack); os.Getenv("CI") == "true" {
			t.Fatal(message)
		} else {
			t.Skip(message)
		}
	}
}

func there(program string) bool {
	if extension, found := strings.CutPrefix(program, "php "); found {
		modules, err := exec.Command("php", "-m").Output()
		return err == nil && bytes.Contains(modules, []byte("\n"+extension+"\n"))
	}
	return Where(program) != ""
}

// Where is the path of a program: in PATH, or where Debian keeps those that only root has there. "": there is none.
func Where(program string) string {
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
