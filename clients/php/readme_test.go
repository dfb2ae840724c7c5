//go:build unix

package php

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/proc"
)

// page is the README put into a directory: every PHP block is a file of the name in its first line, below the package as it was
// installed; and the commands that it shows.
type page struct {
	dir      string
	files    map[string]bool // not run yet
	commands map[string]bool
	env      []string
}

func openPage(t *testing.T, env []string) *page {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &page{dir: t.TempDir(), files: map[string]bool{}, commands: map[string]bool{}, env: env}
	for _, block := range regexp.MustCompile("(?ms)^```php\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		name := regexp.MustCompile(`\A<\?php // (\S+\.php)\n`).FindStringSubmatch(block[1])
		if name == nil {
			t.Fatalf("a block without a name in its first line:\n%s", block[1])
		}
		p.files[name[1]] = true
		p.write(t, name[1], block[1])
	}
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			p.commands[strings.TrimSpace(line)] = true
		}
	}
	return p
}

// unpack puts the package where Composer would, for machines that have none.
func (p *page) unpack(t *testing.T) {
	t.Helper()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "vendor/autoload.php", "<?php require '"+here+"/src/autoload.php';")
	p.write(t, "vendor/bin/resque", "<?php $GLOBALS['_composer_autoload_path'] = __DIR__ . '/../autoload.php'; include '"+here+"/bin/resque';")
	delete(p.commands, "composer require pgscheduler/scheduler:@dev")
}

// compose installs the package from this folder as the page says, and without any network.
func (p *page) compose(t *testing.T) {
	t.Helper()
	proc.Need(t, "composer")
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```json\n(.*?)\n```").FindStringSubmatch(string(text))
	if block == nil || !strings.Contains(block[1], `"../scheduler/clients/php"`) {
		t.Fatalf("no composer.json on the page: %v", block)
	}
	project := strings.Replace(block[1], "../scheduler/clients/php", here, 1)
	p.write(t, "composer.json", strings.Replace(project, "}]}", `}, {"packagist.org": false}]}`, 1))
	p.env = append(p.env, "COMPOSER_HOME="+t.TempDir(), "COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_DISABLE_NETWORK=1", "COMPOSER_NO_INTERACTION=1")
	const require = "composer require pgscheduler/scheduler:@dev"
	if !p.commands[require] {
		t.Fatalf("the page does not show %q", require)
	}
	delete(p.commands, require)
	run(t, p.command(t, require))
}

// TestComposer: the package is as Composer wants it, and its optimized autoloader finds all classes.
func TestComposer(t *testing.T) {
	t.Parallel()
	proc.Need(t, programs...)
	proc.Need(t, "composer")
	p := &page{dir: t.TempDir(), env: proc.Environment("COMPOSER_HOME="+t.TempDir(), "COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_DISABLE_NETWORK=1",
		"COMPOSER_NO_INTERACTION=1")}
	if err := os.CopyFS(p.dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	run(t, p.command(t, "composer validate --strict"))
	run(t, p.command(t, "composer dump-autoload --optimize --classmap-authoritative --strict-psr"))
	p.write(t, "all.php", `<?php require 'vendor/autoload.php';
		foreach (['src' => 'PgScheduler\\', 'lib' => ''] as $folder => $prefix) {
			foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator($folder, FilesystemIterator::SKIP_DOTS)) as $file) {
				$name = substr((string) $file, strlen($folder) + 1, -4);
				$class = $prefix . strtr($name, '/', $prefix === '' ? '_' : '\\');
				if ($name !== 'autoload' && !class_exists($class) && !interface_exists($class)) {
					exit("there is no $class\n");
				}
			}
		}
		echo 'all';`)
	p.prints(t, "php all.php", "all")
}

func (p *page) write(t *testing.T, name, text string) {
	t.Helper()
	at := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command prepares a command in a shell, in the directory, with the server of this test.
func (p *page) command(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	for name := range p.files {
		if strings.Contains(line, name) {
			delete(p.files, name)
		}
	}
	line = regexp.MustCompile(`SCHEDULER_(URL|TOKEN)=\S+ `).ReplaceAllString(line, "")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir, cmd.Env = p.dir, append(p.env, "PATH="+filepath.Dir(proc.Scheduler(t))+":"+os.Getenv("PATH"))
	return cmd
}

// background runs a command of the page until the test ends.
func (p *page) background(t *testing.T, line string) {
	t.Helper()
	if !p.commands[line] {
		t.Fatalf("the page does not show %q", line)
	}
	delete(p.commands, line)
	p.daemon(t, line)
}

func (p *page) daemon(t *testing.T, line string) {
	t.Helper()
	cmd := p.command(t, "exec "+line)
	if strings.HasPrefix(line, "QUEUE=") || strings.HasPrefix(line, "SCHEDULER_") {
		cmd = p.command(t, line)
	}
	proc.Start(t, cmd)
}

// prints runs a command and compares what it prints.
func (p *page) prints(t *testing.T, line, pattern string) string {
	t.Helper()
	out := run(t, p.command(t, line))
	if !regexp.MustCompile(`(?s)\A` + pattern + `\z`).MatchString(out) {
		t.Errorf("%s prints %q, want %s", line, out, pattern)
	}
	return out
}

// TestReadme runs all that README.md shows, with Composer and without.
func TestReadme(t *testing.T) {
	t.Parallel()
	proc.Need(t, programs...)
	for way, install := range map[string]func(*page, *testing.T){"autoload.php": (*page).unpack, "composer": (*page).compose} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			readme(t, install)
		})
	}
}

func readme(t *testing.T, install func(*page, *testing.T)) {
	t.Helper()
	p := openPage(t, newServer(t))
	install(p, t)
	const id = `[0-9a-f-]{36}`
	database := value(p.env, "TEST_DATABASE_URL")
	conn, err := pgx.Connect(t.Context(), database)
	if err == nil {
		_, err = conn.Exec(t.Context(), "create table orders (id int, total int)")
	}
	if err == nil {
		err = conn.Close(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "APP_DSN="+value(p.env, "TEST_DSN"), "SCHEDULER_DATABASE_URL="+database)

	p.background(t, "SCHEDULER_URL=http://127.0.0.1:8080 SCHEDULER_TOKEN=… php worker.php")
	p.prints(t, "php submit.php", "submitted "+id+"\ncompleted: 3 pages\n  rendering page 1\n  rendering page 2\n  rendering page 3\n")
	p.background(t, "scheduler worker --queue default --cmd 'php worker.php' --procs 4")
	out := p.prints(t, "php order.php", `\{"task_id":"`+id+`"\}`)
	task := regexp.MustCompile(id).FindString(out)
	p.prints(t, `php -r '$_GET["id"] = "`+task+`"; for ($n = 0; $n < 600; $n++) { ob_start(); include "task-status.php"; $text = ob_get_clean(); `+
		`if (json_decode($text)->done) { echo $text; break; } usleep(100000); }'`, `\{"status":"completed","done":true,"progress":100\}`)

	p.daemon(t, "php import.php")
	p.write(t, "imports.php", `<?php require 'vendor/autoload.php';
		$client = PgScheduler\Client::fromEnvironment();
		foreach ([['rows' => 250], ['rows' => 1, 'busy' => true], ['rows' => 1, 'night' => true], []] as $payload) {
			$task = $client->submit(new PgScheduler\NewTask('shop.import', $payload, 'imports'));
			while (!($task = $client->task($task->id, waitSeconds: 30))->done);
			echo "$task->state $task->attempt $task->failures ", $task->result['rows'] ?? $task->error['code'], "\n";
		}`)
	p.prints(t, "php imports.php", "completed 1 0 250\ncompleted 2 1 1\ncompleted 2 0 1\nfailed 1 1 bad_payload\n")

	p.background(t, "QUEUE=default APP_INCLUDE=jobs.php php vendor/bin/resque")
	out = p.prints(t, "php enqueue.php", "job "+id+" ended with 4\n")
	p.write(t, "said.php", `<?php require 'vendor/autoload.php';
		while (count($lines = PgScheduler\Client::fromEnvironment()->logs('`+regexp.MustCompile(id).FindString(out)+`')) < 3) usleep(100000);
		echo implode(',', array_column($lines, 'message'));`)
	p.prints(t, "php said.php", "Hello Žofie!,Hello Žofie!,Hello Žofie!")

	delete(p.commands, "composer require pgscheduler/scheduler") // the same, by a network
	if len(p.files)+len(p.commands) > 0 {
		t.Errorf("nothing runs %v %v", p.files, p.commands)
	}
}

// value is that of a variable.
func value(env []string, name string) string {
	for _, pair := range env {
		if value, found := strings.CutPrefix(pair, name+"="); found {
			return value
		}
	}
	return ""
}
