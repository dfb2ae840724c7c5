<?php

// The worker of the conformance suite, see conformance/README.md.

declare(strict_types=1);

require __DIR__ . '/../src/autoload.php';

use PgScheduler\Cancelled;
use PgScheduler\Failure;
use PgScheduler\RetryAfter;
use PgScheduler\Snooze;
use PgScheduler\Task;
use PgScheduler\Worker;

$die = static function (): never {
    posix_kill(getmypid(), SIGKILL);
    exit(1);
};
$worker = new Worker(
    queues: explode(',', getenv('QUEUES') ?: 'default'),
    ttlMs: (int) (getenv('TTL_MS') ?: 15_000),
);
$worker->handle('conformance.echo', fn (Task $task): mixed => $task->payloadAsObject());
$worker->handle('conformance.progress', function (Task $task): array {
    for ($i = 1; $i <= $task->payload['steps']; $i++) {
        $task->progress($i, $task->payload['steps'], "step $i");
        $task->log("line $i");
    }
    return ['steps' => $task->payload['steps']];
});
$worker->handle('conformance.fail', function (Task $task): never {
    $p = $task->payload;
    throw new Failure($p['message'], $p['code'] ?? null, $p['retryable'] ?? true, $p['retry_after_ms'] ?? null);
});
$worker->handle('conformance.throw', fn (Task $task) => throw new DomainException($task->payload['message']));
$worker->handle('conformance.flaky', fn (Task $task): array => $task->attempt < $task->payload['until']
    ? throw new RetryAfter(0, 'not yet') : ['attempt' => $task->attempt]);
$worker->handle('conformance.crash', fn (Task $task): array => $task->attempt < $task->payload['until']
    ? $die() : ['attempt' => $task->attempt]);
$worker->handle('conformance.snooze', fn (Task $task): array => $task->attempt < $task->payload['until']
    ? throw new Snooze($task->payload['delay_ms'], 'not yet') : ['attempt' => $task->attempt]);
$worker->handle('conformance.checkpoint', function (Task $task) use ($die): array {
    $from = $task->checkpoint['step'] ?? 0;
    for ($i = $from + 1; $i <= $task->payload['steps']; $i++) {
        $task->checkpoint(['step' => $i]);
        if ($i === ($task->payload['crash_at'] ?? null) && $task->attempt === 1) {
            $die();
        }
    }
    return ['from' => $from, 'steps' => $task->payload['steps']];
});
$worker->handle('conformance.wait', function (Task $task): never {
    while (!$task->cancelled()) {
        usleep(20_000);
    }
    throw new Cancelled('cancelled');
});
$worker->handle('conformance.sleep', function (Task $task): array {
    $task->log('sleeps');
    $until = microtime(true) + $task->payload['ms'] / 1000;
    while (($left = $until - microtime(true)) > 0) {
        usleep((int) (1e6 * $left)); // a signal ends it early
    }
    return ['slept' => $task->payload['ms']];
});
$worker->handle('conformance.big', fn (Task $task): array => ['text' => str_repeat('x', $task->payload['bytes'])]);
$worker->handle('conformance.stray', function (): stdClass {
    echo "stray out é\n";
    fwrite(STDERR, "stray err\n");
    return new stdClass();
});
$worker->handle('conformance.unicode', function (Task $task): string {
    $text = "žluťoučký 🐎 \\u0000-free \"quotes\" \\ / \n end";
    $task->log($text);
    $task->progress(1, 1, $text);
    return $text;
});
exit($worker->run());
