<?php

// Worker, over HTTP and below scheduler worker --cmd: php worker_test.php http|child

declare(strict_types=1);

require __DIR__ . '/support.php';

use PgScheduler\NewTask;

$door = $argv[1];
$start = fn (string $queue, array $env = []): Program => $door === 'http' ? worker($queue, $env)
    : children($queue, ['--lease-ttl', '10s', '--heartbeat', '1s', ...(isset($env['PROCESSES']) ? ['--procs', $env['PROCESSES']] : [])]);
$worker = $start('q');

// What takes its time, beside all else: handlers that look at nothing, and one longer than its lease that says nothing.
$slow = $start('slow', ['PROCESSES' => '4']);
$deaf = submit('slow', 'deaf');
$timed = submit('slow', 'deaf', timeoutMs: 300, maxAttempts: 1);
$stopped = submit('slow', 'stop', timeoutMs: 300, maxAttempts: 1);
$long = submit('slow', 'sleep', ['seconds' => 12]);
$alone = $start('alone');
$lingers = submit('alone', 'lingers', timeoutMs: 300, maxAttempts: 1);
until('it is deaf', fn () => messages($deaf->id) === ['begins']);
client()->cancel($deaf->id);

$task = fn (string $kind, mixed $payload = [], mixed ...$more) => ended(submit('q', $kind, $payload, ...$more)->id);
$error = fn (string $kind, mixed $payload = [], int $attempts = 1) => $task($kind, $payload, maxAttempts: $attempts)->error;

$name = "Žofie 🐎 \" \\ \n";
check('greet', $task('greet', ['name' => $name])->result['greeting'], "hello $name");
check('greet.object', $task('greet.object', ['name' => 'x'])->result['greeting'], 'hello x');
check('the same process', $task('pid')->result, $task('pid')->result);

$e = $error('exit');
check('exit', $e['code'], 'exit');
$again = $task('exit', maxAttempts: 5, backoffMs: [0]);
check('exit once', [$again->state, $again->result, $again->attempt], ['completed', 'survived', 2]);
$died = submit('q', 'die', maxAttempts: 1);
check('die', ended($died->id)->error['code'], 'exit');
until('last words', fn () => in_array('last words', messages($died->id), true));
$e = $error('fatal');
check('fatal error', [$e['code'], str_contains($e['message'], 'final')], ['fatal_error', true]);
$e = $error('memory');
check('out of memory', [$e['code'], str_contains($e['message'], 'Allowed memory size')], ['out_of_memory', true]);
check('killed', $error('kill')['code'], 'worker_crashed');
check('killed once', $task('kill', maxAttempts: 5, backoffMs: [0])->result, 'survived');
check('the worker lives', $task('greet', ['name' => 'x'])->state, 'completed');

$e = $error('bad.result', attempts: 5);
check('a result that is no UTF-8', [$e['code'], $task('bad.result')->attempt], ['bad_result', 1]);
check('a result that is too big', $error('big.result')['code'] !== null, true);
$bad = $task('bad.text');
check('bad text', [$bad->error['code'], $bad->error['message'], $bad->attempt], ['bad_text', "message \u{FFFD}\u{FFFD}", 1]);
check('bad text in lines', array_diff(["log \u{FFFD}\u{FFFD}", "echo \u{FFFD}"], messages($bad->id)), []);
check('a warning does not fail', $task('warn')->state, 'completed');
check('what is left in a buffer', messages($task('buffer')->id), ['left in a buffer']);
check('many lines', messages($task('many.lines', ['lines' => 900])->id), array_map(fn ($i) => "line $i", range(1, 900)));
check('progress', [($p = $task('progress')->progress)->current, $p->message, $p->data, $p->percent], [1000, 'step 1000', ['i' => 1000], 100.0]);
$c = $task('checkpoint', maxAttempts: 3, backoffMs: [0]);
check('checkpoint', [$c->result['from'], $c->result['now']], [2, 3]);
check('a checkpoint that is too big', str_contains($task('big.checkpoint')->result, '262144'), true);
check('fork', $task('fork')->result, 'forked');

check('a handler that looks at nothing', ended($deaf->id)->state, 'cancelled');
until('finally', fn () => in_array('cleaned up', messages($deaf->id), true));
check('timeout', ended($timed->id)->error['code'], 'timeout');
check('timeout of a child that is stopped', ended($stopped->id)->error['code'], 'timeout');
check('timeout of a child that ends slowly', ended($lingers->id)->error['code'], 'timeout');
$after = ended(submit('alone', 'greet', ['name' => 'x'], backoffMs: [0])->id);
check('a child that was sent a signal gets no further task', [$after->state, $after->attempt, $after->failures], ['completed', 1, 0]);
$alone->signal(SIGTERM);
check('it drained', $alone->exit(), 0);
$slept = ended($long->id);
check('a long handler keeps its lease', [$slept->state, $slept->attempt], ['completed', 1]);
$slow->signal(SIGTERM);
check('the slow one drained', $slow->exit(), 0);

// SIGTERM: what runs is finished, nothing more is taken.
$last = submit('q', 'wait', ['file' => gate('last')]);
until('it waits', fn () => messages($last->id) === ['waits']);
$next = submit('q', 'greet', ['name' => 'next']);
$worker->signal(SIGTERM);
until('the signal was taken', fn () => !$worker->pending(SIGTERM));
touch(gate('last'));
check('drained', [$worker->exit(), client()->task($last->id)->state, client()->task($next->id)->state], [0, 'completed', 'ready']);
check('it said goodbye', array_filter(client()->workers(), fn ($w) => $w['live']), []);

// kill -9 of the whole worker: the task starts again elsewhere, and its handler is gone.
$victim = $start('crash');
$hit = submit('crash', 'sleep', ['seconds' => 600], maxAttempts: 1);
until('it sleeps', fn () => messages($hit->id) === ['sleeps']);
$pid = null;
foreach (glob('/proc/[0-9]*/environ') as $file) {
    if (str_contains((string) @file_get_contents($file), "\0QUEUES=crash\0") && str_contains((string) @file_get_contents(dirname($file) . '/environ'), 'SCHEDULER_FD=3')) {
        $pid = (int) basename(dirname($file));
    }
}
$victim->signal(SIGKILL);
if ($pid !== null) {
    until('the child dies with its parent', fn () => !file_exists("/proc/$pid/cmdline") || file_get_contents("/proc/$pid/cmdline") === '');
}
$heir = $start('crash');
until('the second attempt', fn () => client()->task($hit->id)->attempt === 2);
client()->cancel($hit->id);
check('cancelled', ended($hit->id)->state, 'cancelled');
unset($heir);

// Several at a time.
$crew = $start('crew', ['PROCESSES' => '3']);
$ids = array_map(fn ($i) => submit('crew', 'wait', ['file' => gate('crew')])->id, range(1, 3));
until('three at a time', fn () => array_map(messages(...), $ids) === [['waits'], ['waits'], ['waits']]); // running a task is before its process has it
touch(gate('crew'));
check('three processes', count(array_unique(array_map(fn ($id) => ended($id)->result, $ids))), 3);
unset($crew);

if ($door === 'http') {
    // A drain that lasts too long hands back; twice the signal, at once.
    $hasty = worker('hasty', ['DRAIN_SECONDS' => '1']);
    $hastier = worker('hastier');
    $one = submit('hasty', 'sleep', ['seconds' => 600]);
    $two = submit('hastier', 'sleep', ['seconds' => 600]);
    until('they sleep', fn () => [messages($one->id), messages($two->id)] === [['sleeps'], ['sleeps']]);
    $hasty->signal(SIGTERM);
    $hastier->signal(SIGTERM);
    until('the first signal was taken', fn () => !$hastier->pending(SIGTERM)); // two at once may be one
    $hastier->signal(SIGTERM);
    check('handed back', [$hasty->exit(), client()->task($one->id)->state, client()->task($one->id)->failures], [0, 'ready', 0]);
    check('handed back at once', [$hastier->exit(), client()->task($two->id)->state], [0, 'ready']);
    client()->cancel($one->id);
    client()->cancel($two->id);

    // New children after so many tasks, or so much memory; options of PHP reach them.
    $frail = worker('frail', ['MAX_TASKS' => '2'], ['-d', 'memory_limit=1G']);
    $pids = array_map(fn () => ended(submit('frail', 'pid')->id)->result, range(1, 4));
    check('replaced after two', [$pids[0] === $pids[1], $pids[1] === $pids[2], $pids[2] === $pids[3]], [true, false, true]);
    unset($frail);
    $frail = worker('frail', ['MAX_MEMORY_MB' => '100'], ['-d', 'memory_limit=1G']);
    $pids = array_map(fn () => ended(submit('frail', 'leak')->id)->result, range(1, 4));
    check('replaced when it is fat', count(array_unique($pids)), 2);
    unset($frail);

    // All queues, those that come later too, and one of them first.
    $all = worker('first,*');
    check('a new queue', ended(submit('fresh', 'greet', ['name' => 'x'])->id)->state, 'completed');
    check('a newer queue', ended(submit('fresher', 'greet', ['name' => 'x'])->id)->state, 'completed');
    unset($all);

    // A worker that can't work says so.
    $wrong = worker('q', ['SCHEDULER_TOKEN' => 'wrong-wrong-wrong-wrong']);
    check('a wrong token', $wrong->exit(), 1);
    $broken = new Program([PHP_BINARY, '-d', 'auto_prepend_file=' . __DIR__ . '/app/no_children.php', __DIR__ . '/app/worker.php']);
    check('children that do not come up', $broken->exit(), 1);
}
done(30);
