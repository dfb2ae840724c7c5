<?php

// The worker of the tests beside.

declare(strict_types=1);

require __DIR__ . '/../../src/autoload.php';

use PgScheduler\Cancelled;
use PgScheduler\Permanent;
use PgScheduler\Task;
use PgScheduler\Worker;

final class Greet
{
    public function handle(Task $task): array
    {
        return ['greeting' => "hello {$task->payload['name']}", 'pid' => getmypid(), 'attempt' => $task->attempt];
    }
}

$env = static fn (string $name, int $default): int => (int) (getenv($name) ?: $default);
$worker = new Worker(
    queues: explode(',', getenv('QUEUES') ?: 'default'),
    processes: $env('PROCESSES', 1),
    ttlMs: $env('TTL_MS', 10_000),
    drainSeconds: $env('DRAIN_SECONDS', 30),
    maxTasks: $env('MAX_TASKS', 0),
    maxMemoryMb: $env('MAX_MEMORY_MB', 0),
    echo: getenv('SHOW') === '1',
);
$worker->handle('greet', Greet::class);
$worker->handle('greet.object', new Greet());
$worker->handle('pid', fn (): int => getmypid());
$worker->handle('exit', fn (Task $task) => $task->attempt === 1 ? exit(0) : 'survived');
$worker->handle('die', fn () => die('last words'));
$worker->handle('fatal', function (): void {
    eval('final class F {} class G extends F {}');
});
$worker->handle('memory', function (): void {
    ini_set('memory_limit', '32M');
    for ($all = [];;) {
        $all[] = str_repeat('x', 1 << 20);
    }
});
$worker->handle('kill', fn (Task $task) => $task->attempt === 1 ? posix_kill(getmypid(), SIGKILL) : 'survived');
$worker->handle('stop', fn (Task $task) => posix_kill(getmypid(), SIGSTOP));
$worker->handle('sleep', function (Task $task): int { // says nothing meanwhile, as most programs do
    $task->log('sleeps');
    $left = (int) $task->payload['seconds'];
    while ($left > 0) {
        $left = sleep($left);
    }
    return getmypid();
});
$worker->handle('wait', function (Task $task): int { // until there is a file
    $task->log('waits');
    while (!file_exists($task->payload['file'])) {
        usleep(20_000);
    }
    return getmypid();
});
$worker->handle('deaf', function (Task $task): never { // looks at nothing
    try {
        $task->log('begins');
        for ($i = 0;; $i++) {
            usleep(1000);
        }
    } finally {
        echo "cleaned up\n";
    }
});
$worker->handle('lingers', function (): never { // looks at nothing, and its process takes its time to end
    register_shutdown_function(fn () => usleep(1_000_000));
    for (;;) {
        usleep(1000);
    }
});
$worker->handle('stays', function (): int { // its process is told to end, and does not
    register_shutdown_function(fn () => sleep(600));
    posix_kill(getmypid(), SIGTERM);
    return getmypid();
});
$worker->handle('leaves', function (Task $task): string { // its process is told to end
    posix_kill(getmypid(), SIGTERM);
    return $task->payload['utf8'] ? 'x' : "\xff";
});
$worker->handle('returns', fn (Task $task): object => new class ($task->payload['file']) { // and goes on once there is a file
    public function __construct(private readonly string $file)
    {
    }

    public function __destruct()
    {
        while (!file_exists($this->file)) {
            usleep(20_000);
        }
    }
});
$worker->handle('mute', function (Task $task): never { // after many words
    $task->log(str_repeat('x', 1 << 20));
    for (;;) {
        usleep(1000);
    }
});
$worker->handle('never', fn () => throw new Permanent('never', 'bad'));
$worker->handle('bad.result', fn () => "\xff");
$worker->handle('bad.text', function (Task $task): never {
    $task->log("log \xff\0");
    $task->progress(1, 2, "progress \xff");
    echo "echo \xff\n";
    throw new Permanent("message \xff\0", 'bad_text');
});
$worker->handle('big.result', fn () => str_repeat('x', 17 << 20));
$worker->handle('warn', fn () => trigger_error('mind the gap', E_USER_WARNING));
$worker->handle('buffer', function (): void {
    ob_start();
    echo 'left in a buffer';
});
$worker->handle('many.lines', function (Task $task): void {
    for ($i = 1; $i <= $task->payload['lines']; $i++) {
        echo "line $i\n";
    }
});
$worker->handle('progress', function (Task $task): void {
    for ($i = 1; $i <= 1000; $i++) {
        $task->progress($i, 1000, "step $i", ['i' => $i]);
    }
});
$worker->handle('checkpoint', function (Task $task): array {
    $from = $task->checkpoint['at'] ?? 0;
    $task->checkpoint(['at' => $from + 1]);
    return $task->attempt < 3 ? throw new RuntimeException('again') : ['from' => $from, 'now' => $task->checkpoint['at']];
});
$worker->handle('big.checkpoint', function (Task $task): string {
    try {
        $task->checkpoint(str_repeat('x', 300_000));
    } catch (PgScheduler\Failure $e) {
        $task->checkpoint('small');
        return $e->getMessage();
    }
    return 'it was stored';
});
$worker->handle('leak', function (): int {
    static $all = '';
    $all .= str_repeat('x', 64 << 20);
    return getmypid();
});
$worker->handle('fork', function (): string {
    if (pcntl_fork() === 0) {
        exit(3); // must not speak for the task
    }
    pcntl_wait($status);
    return 'forked';
});
$worker->handle('effect', function (Task $task): void {
    static $pdo = null;
    $pdo ??= new PDO(getenv('TEST_DSN'));
    $pdo->prepare('insert into effects (task, attempt) values (?, ?)')->execute([$task->id, $task->attempt]);
    usleep(30_000);
});
exit($worker->run());
