<?php

// Two things at once, in the order that hurts: signals, drains, answers and tasks that cross each other. Each waits for the other here.

declare(strict_types=1);

require __DIR__ . '/support.php';

use PgScheduler\Worker\Process;

$frames = []; // that a child has sent, by its process id
/** The next frame of a child with this op. */
$next = function (Process $child, string $op) use (&$frames): stdClass {
    return until("a child says $op", function () use ($child, $op, &$frames): ?stdClass {
        foreach ($child->read() as [$pipe, $line]) {
            if ($pipe === 3) {
                $frames[$child->pid][] = json_decode($line);
            }
        }
        while (($frame = array_shift($frames[$child->pid])) !== null) {
            if ($frame->op === $op) {
                return $frame;
            }
        }
        if ($child->ended !== null) {
            throw new RuntimeException("it ended before it said $op: $child->ended");
        }
        return null;
    });
};
$child = function () use ($next, &$frames): Process {
    $child = new Process([PHP_BINARY, __DIR__ . '/app/worker.php']);
    $frames[$child->pid] = [];
    register_shutdown_function(fn () => $child->signal(SIGKILL));
    $next($child, 'ready');
    return $child;
};
$give = fn (Process $child, string $id, string $kind, array $payload = []) => $child->send(['op' => 'task', 'task' => ['id' => $id, 'kind' => $kind, 'payload' => $payload]]);
$tell = function (Process $child, int $signal): void {
    $child->signal($signal);
    until('the signal was taken', fn () => !pending($child->pid, $signal));
};
$end = fn (Process $child): string => until('a child ends', function () use ($child): ?string {
    $child->read();
    return $child->ended;
});

// A child that is told to end by a signal, and given a task before it has looked.
$one = $child();
$give($one, 'a', 'returns', ['file' => gate('returns')]);
$next($one, 'result');
$give($one, 'b', 'pid');
$tell($one, SIGTERM);
touch(gate('returns'));
check('the task is done', [$next($one, 'result')->id, $end($one)], ['b', 'exit code 0']);

// A signal in the middle of a task: nothing is given to who ends after it, however it went.
foreach (['result' => true, 'error' => false] as $op => $utf8) {
    $one = $child();
    $give($one, 'a', 'leaves', ['utf8' => $utf8]);
    check("it says that it ends: $op", [$next($one, $op)->ends ?? false, $end($one)], [true, 'exit code 0']);
}

// SIGTERM because of a cancel, of which the child could not read yet: nobody reads what it says.
$one = $child();
$give($one, 'a', 'mute');
until('it speaks', function () use ($one): bool {
    $read = [$one->streams()[2]];
    $none = null;
    return stream_select($read, $none, $none, 0) === 1;
});
$one->send(['op' => 'cancel', 'id' => 'a', 'reason' => 'timeout']);
$tell($one, SIGTERM);
check('it has ended the handler', [$next($one, 'error')->code, $end($one)], ['timeout', 'exit code 0']);

// A child that says that it ends, and does not.
$worker = worker('stays');
check('it was told', ended(submit('stays', 'stays')->id)->state, 'completed');
$after = ended(submit('stays', 'pid', maxAttempts: 1)->id);
check('another child does the next one', [$after->state, $after->attempt], ['completed', 1]);
unset($worker);

// A child that is told to end before it is ready, and does not.
$worker = worker('slow', ['GATE' => gate('booting')], ['-d', 'auto_prepend_file=' . __DIR__ . '/app/slow_start.php']);
until('it boots', fn () => file_exists(gate('booting')));
$worker->signal(SIGTERM);
check('it is killed', $worker->exit(), 0);

// A task for a child that can't be told of it is no failure.
$worker = worker('unheard', ['GATE' => gate('unheard')], ['-d', 'auto_prepend_file=' . __DIR__ . '/app/no_stdin.php']);
$unheard = ended(submit('unheard', 'pid', maxAttempts: 1)->id);
check('another child does it', [$unheard->state, $unheard->failures], ['completed', 0]);
unset($worker);

/** A server that gives the leases of $polls, one after the other, and answers 200 but for what $answer answers. Calls are listed in a file. */
$serve = function (string $name, array $polls, Closure $answer): array {
    $calls = gate("$name-calls");
    $url = server(function (string $in) use ($calls, $polls, $answer): string {
        [, $path] = explode(' ', $in);
        file_put_contents($calls, "$path\n", FILE_APPEND | LOCK_EX);
        $n = substr_count((string) file_get_contents($calls), "$path\n"); // calls of this path
        return $answer($path, $n) ?? answer(200, match (true) {
            $path === '/v1/leases' => json_encode(['worker' => ['state' => 'run'], 'leases' => $polls[$n - 1] ?? []]),
            str_starts_with($path, '/v1/workers/') => '{"state": "run", "cancelled": [], "lost": []}',
            default => '{"state": "run", "cancelled": false}',
        });
    });
    return [$url, fn (string $path): int => substr_count((string) @file_get_contents($calls), "$path\n")];
};
$lease = fn (string $id, string $kind, array $payload = []): array => ['lease' => $id, 'task' => ['id' => $id, 'kind' => $kind, 'payload' => $payload, 'attempt' => 1]];
$wait = fn (string $file) => until($file, fn () => file_exists($file));
[$available, $asked] = [gate('available'), gate('asked')]; // a server is another process

// The patience with a drain is over while a failure could not be reported yet: it stays one.
[$url, $calls] = $serve('fail', [[$lease('A', 'never')]], function (string $path, int $n) use ($wait, $available): ?string {
    if ($path !== '/v1/leases/A/fail' || $n > 1) {
        return null;
    }
    $wait($available);
    return answer(503, '{}');
});
$worker = worker('q', ['SCHEDULER_URL' => $url]);
until('it reports', fn () => $calls('/v1/leases/A/fail') === 1);
foreach ([1, 2] as $time) {
    $worker->signal(SIGTERM);
    until("signal $time was taken", fn () => !$worker->pending(SIGTERM));
}
touch($available);
check('the failure is reported', [$worker->exit(), $calls('/v1/leases/A/fail'), $calls('/v1/leases/A/release')], [0, 2, 0]);

// A task comes when the worker has been told to end: it is handed back, not begun.
[$url, $calls] = $serve('late', [[$lease('A', 'wait', ['file' => gate('late')])], [$lease('B', 'pid')]], function (string $path, int $n) use ($wait, $asked): ?string {
    if ($path === '/v1/leases' && $n === 2) {
        $wait($asked);
    }
    return null;
});
$worker = worker('q', ['SCHEDULER_URL' => $url, 'PROCESSES' => '2']);
until('it works, and asks for more', fn () => $calls('/v1/leases/A/heartbeat') > 0 && $calls('/v1/leases') === 2);
$worker->signal(SIGTERM);
until('the signal was taken', fn () => !$worker->pending(SIGTERM));
touch($asked);
until('it has said what becomes of it', fn () => $calls('/v1/leases/B/release') + $calls('/v1/leases/B/complete') > 0);
touch(gate('late'));
check('it is handed back', [$worker->exit(), $calls('/v1/leases/A/complete'), $calls('/v1/leases/B/release'), $calls('/v1/leases/B/complete')], [0, 1, 1, 0]);

// One that comes with the word to stop is done.
[$url, $calls] = $serve('last', [], fn (string $path): ?string => $path !== '/v1/leases' ? null
    : answer(200, json_encode(['worker' => ['state' => 'stop'], 'leases' => [$lease('A', 'pid')]])));
check('the last one', [worker('q', ['SCHEDULER_URL' => $url])->exit(), $calls('/v1/leases/A/complete')], [0, 1]);

done(11);
