<?php

// php-resque's classes and its worker: job classes run unchanged.

declare(strict_types=1);

require __DIR__ . '/support.php';

$resque = fn (string $queue, array $env = []): Program => new Program([PHP_BINARY, __DIR__ . '/../bin/resque'],
    $env + ['QUEUE' => $queue, 'APP_INCLUDE' => __DIR__ . '/app/jobs.php', 'INTERVAL' => '1']);
$status = fn (string $id) => (new Resque_Job_Status($id))->get();
$enqueue = function (string $class, ?array $args = null, string $queue = 'default'): string {
    return Resque::enqueue($queue, $class, $args, true);
};
$finished = fn (string $id): int => until("job $id ends", fn () => in_array($s = (new Resque_Job_Status($id))->get(), [3, 4], true) ? $s : null);

Resque::setBackend('localhost:6379'); // of the time before
check('constants', [Resque_Job_Status::STATUS_WAITING, Resque_Job_Status::STATUS_RUNNING, Resque_Job_Status::STATUS_FAILED, Resque_Job_Status::STATUS_COMPLETE], [1, 2, 3, 4]);
$id = $enqueue('Hello_Job', ['name' => 'Žofie']);
check('waiting', [$status($id), (new Resque_Job_Status($id))->isTracking(), (string) new Resque_Job_Status($id)], [1, true, "job:$id:status"]);
check('size', [Resque::size('default'), Resque::size('none'), Resque::queues()], [1, 0, ['default']]);
check('unknown', [$status('01a1fbc0-c975-7f37-a6be-a8f3e8777fbf'), $status('nonsense'), (new Resque_Job_Status('x'))->isTracking()], [false, false, false]);
thrown('args that are none', InvalidArgumentException::class, fn () => Resque::enqueue('default', 'X', 'text'));
$task = client()->task($id);
check('the task', [$task->kind, $task->payload['class'], $task->payload['args'], $task->maxAttempts, $task->raw['tags']], ['resque', 'Hello_Job', ['name' => 'Žofie'], 1, ['class:Hello_Job']]);
check('a namespaced class', client()->task($enqueue('App\Jobs\Mail', queue: 'none'))->raw['tags'], ['class:App.Jobs.Mail']);

$worker = $resque('default');
check('hello', $finished($id), Resque_Job_Status::STATUS_COMPLETE);
check('what it says', array_diff(['Hello!', 'Hello Žofie of default', 'afterPerform'], until('lines', fn () => count($l = messages($id)) === 5 ? $l : null)), []);
$steps = $enqueue('Steps_Job');
check('steps', [$finished($steps), client()->task($steps)->result], [4, ['setUp', 'perform']]);
until('tearDown', fn () => in_array('setUp,perform,tearDown', messages($steps), true));
$again = $enqueue('Steps_Job');
check('a process for each job', [$finished($again), client()->task($again)->result], [4, ['setUp', 'perform']]);
$failing = $enqueue('Failing_Job', ['why' => '🐎']);
check('failing', [$finished($failing), client()->task($failing)->error, client()->task($failing)->attempt], [3, ['code' => 'DomainException', 'message' => 'žluť 🐎'], 1]);
until('onFailure', fn () => in_array('onFailure: DomainException of Failing_Job', messages($failing), true));
foreach (['Exit_Job' => 'exit code 5', 'Killed_Job' => 'killed by signal 9', 'Fatal_Job' => 'exit code 255'] as $class => $how) {
    $dirty = $enqueue($class, ['code' => 5]);
    check($class, [$finished($dirty), client()->task($dirty)->error], [3, ['code' => 'Resque_Job_DirtyExit', 'message' => "Job exited before perform() ended: $how"]]);
}
check('exit 0', $finished($enqueue('Exit_Job', ['code' => 0])), 3);
$refused = $enqueue('Refused_Job');
check('not to be performed', [$finished($refused), messages($refused)], [4, []]);
foreach (['Nobody_Job' => 'Could not find job class Nobody_Job.', 'No_Job' => 'Job class No_Job does not contain a perform method.'] as $class => $message) {
    $bad = $enqueue($class);
    check($class, [$finished($bad), client()->task($bad)->error], [3, ['code' => 'Resque_Exception', 'message' => $message]]);
}
check('a payload without a class', ended(submit('default', 'resque', ['x' => 1])->id)->error['code'], 'bad_payload');
$half = $enqueue('Progress_Job');
check('progress', [$finished($half), client()->task($half)->progress->message], [4, 'half way']);
$long = $enqueue('Waiting_Job', ['file' => gate('long')]);
until('it waits', fn () => messages($long) === ['waits']);
check('running', $status($long), Resque_Job_Status::STATUS_RUNNING);
$worker->signal(SIGQUIT);
touch(gate('long'));
check('QUIT waits for the job', [$worker->exit(), $status($long)], [0, 4]);
$worker = $resque('default');
$cancelled = $enqueue('Sleeping_Job', ['seconds' => 600]);
until('it sleeps', fn () => messages($cancelled) === ['sleeps']);
client()->cancel($cancelled);
check('cancelled', [$finished($cancelled), client()->task($cancelled)->state], [3, 'cancelled']);
unset($worker);

// No job outlives its worker: neither when the process that forked it is killed, nor when the whole worker is.
$gone = fn (int $pid): bool => !is_file("/proc/$pid/cmdline") || file_get_contents("/proc/$pid/cmdline") === '';
foreach (['child', 'parent'] as $victim) {
    $worker = $resque($victim);
    $lasting = $enqueue('Lasting_Job', null, $victim);
    [$job, $child] = array_map(intval(...), explode(' ', until('it works', fn () => messages($lasting)[0] ?? null)));
    $victim === 'child' ? posix_kill($child, SIGKILL) : $worker->signal(SIGKILL);
    until("the job dies with the $victim", fn () => $gone($job));
    if ($victim === 'child') {
        check('a job whose process is killed', [$finished($lasting), client()->task($lasting)->error['code']], [3, 'worker_crashed']);
    } else {
        client()->cancel($lasting); // it would start again, with whoever takes from all queues
    }
    unset($worker);
}

// Queues in their order; all queues; several processes.
$last = $enqueue('Hello_Job', ['name' => 'b'], 'b');
$first = $enqueue('Hello_Job', ['name' => 'a'], 'a');
$worker = $resque('a,b');
check('two queues', [$finished($last), $finished($first)], [4, 4]);
check('in order', client()->task($first)->startedAt < client()->task($last)->startedAt, true);
unset($worker);
$worker = $resque('*', ['COUNT' => '2']);
$ids = array_map(fn (int $i): string => $enqueue('Waiting_Job', ['file' => gate('any')], "any-$i"), [1, 2]);
until('both run', fn () => array_map($status, $ids) === [2, 2]);
touch(gate('any'));
check('all queues', array_map($finished, $ids), [4, 4]);
unset($worker);

// Enqueued in the app's own transaction.
$pdo = pdo();
Resque::setBackend($pdo);
$pdo->beginTransaction();
$lost = Resque::enqueue('tx', 'Hello_Job', ['name' => 'x']);
check('in the transaction', (new Resque_Job_Status($lost))->get(), 1);
$pdo->rollBack();
check('rolled back', [(new Resque_Job_Status($lost))->get(), (new Resque_Job_Status('nonsense'))->get()], [false, false]);
Resque::setBackend(getenv('SCHEDULER_URL'));

// Events of who enqueues.
Resque_Event::listen('beforeEnqueue', $refuse = fn (string $class) => $class === 'Secret_Job' ? throw new Resque_Job_DontCreate() : null);
$seen = [];
Resque_Event::listen('afterEnqueue', function (string $class, ?array $args, string $queue, string $id) use (&$seen): void {
    $seen = [$class, $args, $queue, $id];
});
check('not enqueued', Resque::enqueue('default', 'Secret_Job'), false);
$id = Resque::enqueue('events', 'Hello_Job', ['name' => 'x']);
check('afterEnqueue', $seen, ['Hello_Job', ['name' => 'x'], 'events', $id]);
Resque_Event::clearListeners();

// As children of scheduler worker --cmd, and without what a worker needs.
$children = new Program([getenv('TEST_SCHEDULER'), 'worker', '--queue', 'events', '--cmd', PHP_BINARY . ' ' . realpath(__DIR__ . '/../bin/resque')],
    ['SCHEDULER_DATABASE_URL' => getenv('TEST_DATABASE_URL'), 'APP_INCLUDE' => __DIR__ . '/app/jobs.php']);
check('below scheduler worker', $finished($id), 4);
unset($children);
check('no QUEUE', (new Program([PHP_BINARY, __DIR__ . '/../bin/resque']))->exit(), 64);
check('no APP_INCLUDE', $resque('x', ['APP_INCLUDE' => '/nonexistent'])->exit(), 64);
done(34);
