<?php

// Writes invoices. Each of these keeps two processes at work: php consumer.php

declare(strict_types=1);

require __DIR__ . '/../../clients/php/src/autoload.php';
require __DIR__ . '/database.php';

use PgScheduler\Permanent;
use PgScheduler\Task;
use PgScheduler\Worker;

// Of a consumer that is killed as a whole, with kill -9, tasks start again after 5 s of silence. A process of it that dies is missed at once.
$worker = new Worker(queues: ['invoices'], processes: 2, ttlMs: 5_000);
$worker->handle('invoice.write', function (Task $task): array {
    $order = $task->payload;
    if ($order['currency'] !== 'EUR') {
        throw new Permanent("we write no invoices in $order[currency]", 'bad_currency'); // trying again changes nothing: to the dead letters
    }
    if ($order['customer'] === 'poison') {
        posix_kill(getmypid(), SIGKILL); // in place of what takes a whole process down: memory, an extension, the kernel
    }
    usleep(1000 * (int) (getenv('WORK_MS') ?: 0)); // the slow part
    return ['invoice' => invoice($task->id, $order['customer'], $order['cents'])];
});
exit($worker->run());

/** The effect, all of it in one transaction: once for each task, though a task may run again after a crash at any point. */
function invoice(string $task, string $customer, int $cents): int
{
    static $db = null;
    try {
        $db ??= database();
        $db->beginTransaction();
        $last = $db->query('select number from app.last_invoice for update')->fetchColumn(); // one after the other, also with an attempt that lost its lease
        $before = $db->prepare('select number from app.invoices where task = ?');
        $before->execute([$task]);
        $number = $before->fetchColumn();
        if ($number === false) { // no attempt before this one came so far
            $number = $last + 1;
            $db->prepare('insert into app.invoices (number, task, customer, cents) values (?, ?, ?, ?)')->execute([$number, $task, $customer, $cents]);
            $db->prepare('update app.last_invoice set number = ?')->execute([$number]);
        }
        $db->commit();
        return $number;
    } catch (PDOException $e) {
        $db = null; // its connection may be broken: the next attempt gets a new one
        throw $e;
    }
}
