<?php

// Workers that are killed at work, again and again: no task is lost, none completes twice, and no two attempts have one number.

declare(strict_types=1);

require __DIR__ . '/support.php';

use PgScheduler\NewTask;

pdo()->exec('create table effects (task uuid, attempt int)');
$tasks = 0;
$pdo = pdo();
$count = fn (string $sql): int => (int) $pdo->query($sql)->fetchColumn();
$works = function (Program $worker) use ($count, &$tasks): bool { // and there always is more to do
    if ($count("select count(*) from scheduler.tasks where state = 'ready'") < 50) {
        client()->submitMany(array_map(fn (int $i) => new NewTask('effect', ['i' => $i], 'kill', maxAttempts: 1), range(1, 100)));
        $tasks += 100;
    }
    return $count("select count(*) from scheduler.tasks t join scheduler.workers w on w.id = t.worker_id where t.state = 'running' and w.pid = $worker->pid") > 0;
};
$other = worker('kill'); // lives on
$hit = 0; // victims that had something to do when they had died
for ($kills = 0; $kills < 5 || $hit === 0 && $kills < 100; $kills++) {
    $victim = worker('kill', ['PROCESSES' => '2']);
    until('it works', fn () => $works($victim));
    $victim->signal(SIGKILL);
    $victim->exit();
    $hit += (int) $works($victim);
    unset($victim);
}
until('all are done', fn () => $count("select count(*) from scheduler.tasks where state = 'completed'") === $tasks);
check('every task had its effect', $count('select count(distinct task) from effects'), $tasks);
check('no attempt twice', $count('select count(*) from (select 1 from effects group by task, attempt having count(*) > 1) x'), 0);
check('more effects only by attempts that were killed', $count("select count(*) from effects") - $tasks
    <= $count("select count(*) from scheduler.attempts where outcome <> 'completed'"), true);
check('some were killed at work', $count("select count(*) from scheduler.attempts where outcome = 'crashed'") > 0, true);
done(4);
