<?php

// Database: submit and look in the app's own transaction.

declare(strict_types=1);

require __DIR__ . '/support.php';

use PgScheduler\Database;
use PgScheduler\Exception\NotFound;
use PgScheduler\NewTask;

$pdo = pdo();
$other = pdo();
$db = new Database($pdo);
$pdo->exec('create table orders (id int)');
$count = fn (): array => [(int) $other->query('select count(*) from orders')->fetchColumn(), (int) $other->query('select count(*) from scheduler.tasks')->fetchColumn()];

$pdo->beginTransaction();
$pdo->exec('insert into orders values (1)');
$lost = $db->submit(new NewTask('invoice', ['order' => 1]));
check('its own transaction sees it', $db->status($lost), 'ready');
check('others do not', $count(), [0, 0]);
$pdo->rollBack();
check('rolled back', $count(), [0, 0]);
thrown('rolled back', NotFound::class, fn () => $db->task($lost));

$trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
check('its trace', $pdo->query("select trace from scheduler.tasks where id = '{$db->submit(new NewTask('x', queue: 'traced'), $trace)}'")->fetchColumn(), $trace);
$pdo->exec("delete from scheduler.tasks where queue = 'traced'");

$pdo->beginTransaction();
$pdo->exec('insert into orders values (2)');
$text = "žluťoučký 🐎 ? :x \" ' \\ \n";
$kept = $db->submit(new NewTask('invoice', ['text' => $text], 'pdf', priority: -5, delayMs: 60_000, maxAttempts: 2, timeoutMs: 1000,
    expiresAt: new DateTimeImmutable('+1 day'), uniqueKey: "k'", idempotencyKey: 'i', backoffMs: [100, 200], tags: ['a:b', 'c']));
$pdo->commit();
check('committed', $count(), [1, 1]);
$task = $db->task($kept);
check('task', [$task->id, $task->kind, $task->queue, $task->state, $task->done, $task->payload, $task->maxAttempts, $task->progress, $task->error],
    [$kept, 'invoice', 'pdf', 'scheduled', false, ['text' => $text], 2, null, null]);
$seen = client()->task($kept);
check('over HTTP', [$seen->raw['priority'], $seen->raw['timeout_ms'], $seen->raw['unique_key'], $seen->raw['backoff_ms'], $seen->raw['tags'], $seen->payload],
    [-5, 1000, "k'", [100, 200], ['a:b', 'c'], ['text' => $text]]);
check('an idempotency key', $db->submit(new NewTask('x', queue: 'q', idempotencyKey: 'k')), $db->submit(new NewTask('x', queue: 'q', idempotencyKey: 'k')));
check('another request', thrown('another request', PDOException::class, fn () => $db->submit(new NewTask('y', queue: 'q', idempotencyKey: 'k')))->getCode(), '23505');
check('a bad kind', thrown('a bad kind', PDOException::class, fn () => $db->submit(new NewTask('?')))->getCode(), '22023');
thrown('no JSON', JsonException::class, fn () => $db->submit(new NewTask('x', "\xff")));
check('an empty payload', $other->query("select payload::text from scheduler.tasks where id = '{$db->submit(new NewTask('x'))}'")->fetchColumn(), '{}');
check('run_at', $db->status($db->submit(new NewTask('x', runAt: new DateTimeImmutable('+1 hour')))), 'scheduled');

check('cancel', [$db->cancel($kept, 'no'), $db->task($kept)->error, $db->cancel($kept)], [true, ['code' => 'cancelled', 'message' => 'no'], false]);
check('retry', [$db->retry($kept), $db->status($kept), $db->retry($kept)], [true, 'ready', false]);

$emulated = pdo();
$emulated->setAttribute(PDO::ATTR_EMULATE_PREPARES, true); // behind a transaction pooler
check('emulated', (new Database($emulated))->task((new Database($emulated))->submit(new NewTask('x', ['t' => $text], tags: ['a'], backoffMs: [1])))->payload, ['t' => $text]);
$silent = pdo();
$silent->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_SILENT);
thrown('silent', PDOException::class, fn () => (new Database($silent))->submit(new NewTask('?')));

$worker = worker('done');
$id = $db->submit(new NewTask('progress', queue: 'done'));
until('it is done', fn () => $db->task($id)->done);
check('progress', [$db->task($id)->progress->current, $db->task($id)->progress->percent, $db->task($id)->progress->data], [1000, 100.0, ['i' => 1000]]);
foreach ([['idempotencyKey' => "a\0b"], ['tags' => ["a\0b"]], ['kind' => "x\0y"]] as $bad) {
    thrown('a NUL', InvalidArgumentException::class, fn () => (new PgScheduler\Database(pdo()))->submit(new PgScheduler\NewTask(...$bad + ['kind' => 'x'])));
}
done(20);
