<?php

// What the tests of this folder share. A test is a script that ends with done(); the Go test beside runs each against a server
// (SCHEDULER_URL, SCHEDULER_TOKEN) on a database of its own (TEST_DSN, of PDO), with the scheduler's program in TEST_SCHEDULER.

declare(strict_types=1);

require __DIR__ . '/../src/autoload.php';

use PgScheduler\Client;
use PgScheduler\NewTask;
use PgScheduler\TaskInfo;

$checks = $failures = 0;

/** Compares; says so when they differ. */
function check(string $name, mixed $got, mixed $want): void
{
    global $checks, $failures;
    $checks++;
    if ($got !== $want) {
        $failures++;
        echo "$name: got ", var_export($got, true), ', want ', var_export($want, true), "\n";
    }
}

/** The exception that is thrown, of the class that is wanted. */
function thrown(string $name, string $class, Closure $f): ?Throwable
{
    try {
        $f();
    } catch (Throwable $e) {
        check("$name throws", $e instanceof $class ? $class : $e::class . ': ' . $e->getMessage(), $class);
        return $e;
    }
    check("$name throws", 'nothing', $class);
    return null;
}

/** Polls until it is true, and returns that; gives up after three minutes. */
function until(string $name, Closure $f): mixed
{
    for ($limit = microtime(true) + 180; microtime(true) < $limit; usleep(20_000)) {
        if ($value = $f()) {
            return $value;
        }
    }
    check("$name: it came true", false, true);
    throw new RuntimeException("never: $name");
}

/** A program that runs, in a process group of its own; killed when the test ends. */
final class Program
{
    public readonly int $pid;
    private $process;

    /** @param array<string, string> $env */
    public function __construct(array $command, array $env = [])
    {
        $this->process = proc_open(['setsid', ...$command], [['file', '/dev/null', 'r'], ['file', $this->log(), 'a'], ['file', $this->log(), 'a']], $pipes, __DIR__, $env + getenv());
        $this->pid = proc_get_status($this->process)['pid'];
    }

    public function signal(int $signal): void
    {
        posix_kill($this->pid, $signal);
    }

    /** Whether a signal has been sent that it has not taken yet. */
    public function pending(int $signal): bool
    {
        return pending($this->pid, $signal);
    }

    /** Waits for the end and returns the exit code; -1: a signal. */
    public function exit(): int
    {
        $status = until('a program ends', fn () => ($s = proc_get_status($this->process))['running'] ? null : $s);
        return $status['exitcode'];
    }

    public function __destruct()
    {
        posix_kill(-$this->pid, SIGKILL);
        posix_kill($this->pid, SIGKILL);
    }

    public static function log(): string
    {
        return sys_get_temp_dir() . '/scheduler-php-test-' . getmypid() . '.log';
    }
}

/** Whether a signal has been sent that a process has not taken yet; Linux only, elsewhere no. */
function pending(int $pid, int $signal): bool
{
    return preg_match('/^ShdPnd:\s*([0-9a-f]+)/m', (string) @file_get_contents("/proc/$pid/status"), $found) === 1
        && (hexdec($found[1]) >> ($signal - 1) & 1) === 1;
}

/** A server that answers each request with what $answer($request, $n, $port) returns, raw; '' cuts the connection. Returns its URL. */
function server(Closure $answer): string
{
    $listen = stream_socket_server('tcp://127.0.0.1:0');
    $count = tempnam(sys_get_temp_dir(), 'count');
    $pid = pcntl_fork();
    if ($pid === 0) {
        pcntl_signal(SIGCHLD, SIG_IGN);
        while ($c = @stream_socket_accept($listen, 60)) {
            if (pcntl_fork() !== 0) {
                fclose($c);
                continue;
            }
            $port = (int) substr(strrchr(stream_socket_get_name($c, true), ':'), 1);
            for (;;) {
                $in = '';
                while (!preg_match('/\r\n\r\n/', $in) || preg_match('/Content-Length: (\d+)/i', $in, $m) && strlen($in) < strpos($in, "\r\n\r\n") + 4 + (int) $m[1]) {
                    $bytes = fread($c, 8192);
                    if ($bytes === '' || $bytes === false) {
                        posix_kill(getmypid(), SIGKILL);
                    }
                    $in .= $bytes;
                }
                file_put_contents($count, '.', FILE_APPEND);
                clearstatcache();
                $out = $answer($in, filesize($count), $port);
                if ($out === '') {
                    posix_kill(getmypid(), SIGKILL);
                }
                fwrite($c, $out);
            }
        }
        posix_kill(getmypid(), SIGKILL);
    }
    register_shutdown_function(fn () => posix_kill($pid, SIGKILL));
    $url = 'http://' . stream_socket_get_name($listen, false);
    fclose($listen);
    return $url;
}

function answer(int $status, string $body, string ...$headers): string
{
    return "HTTP/1.1 $status X\r\n" . implode('', array_map(fn ($h) => "$h\r\n", $headers)) . 'Content-Length: ' . strlen($body) . "\r\n\r\n$body";
}

/** The worker of these tests on a queue. */
function worker(string $queue, array $env = [], array $options = []): Program
{
    return new Program([PHP_BINARY, ...$options, __DIR__ . '/app/worker.php'], ['QUEUES' => $queue] + $env);
}

/** The same below scheduler worker --cmd. */
function children(string $queue, array $flags = [], string $script = 'app/worker.php', array $env = []): Program
{
    return new Program([getenv('TEST_SCHEDULER'), 'worker', '--queue', $queue, '--cmd', PHP_BINARY . ' ' . __DIR__ . "/$script", ...$flags],
        ['SCHEDULER_DATABASE_URL' => getenv('TEST_DATABASE_URL'), 'SCHEDULER_URL' => getenv('SCHEDULER_URL')] + $env);
}

function client(): Client
{
    static $client;
    return $client ??= Client::fromEnvironment();
}

function submit(string $queue, string $kind, mixed $payload = [], mixed ...$more): TaskInfo
{
    return client()->submit(new NewTask($kind, $payload, $queue, ...$more));
}

/** Waits until the task is done. */
function ended(string $id): TaskInfo
{
    return until("task $id is done", function () use ($id): ?TaskInfo {
        $task = client()->task($id, waitSeconds: 10);
        return $task->done ? $task : null;
    });
}

/** @return list<string> the task's log */
function messages(string $id): array
{
    return array_column(client()->logs($id, 0, 1000), 'message');
}

/** A file that is not there yet: what waits for it goes on when it is touched. */
function gate(string $name): string
{
    return sys_get_temp_dir() . '/scheduler-php-test-' . getmypid() . "-$name";
}

function pdo(): PDO
{
    return new PDO(getenv('TEST_DSN'), null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function done(int $least): never
{
    global $checks, $failures;
    echo "$checks checks, $failures failures\n";
    if ($failures > 0 && is_file(Program::log())) {
        echo "what programs said:\n", file_get_contents(Program::log());
    }
    array_map(unlink(...), glob(gate('*')));
    @unlink(Program::log());
    exit($failures > 0 || $checks < $least ? 1 : 0);
}
