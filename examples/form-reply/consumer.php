<?php

// Ships orders. `scheduler worker --cmd 'php consumer.php' --procs 2` keeps two of these alive: whatever ends one, another is started.

declare(strict_types=1);

require __DIR__ . '/app.php';

use PgScheduler\Permanent;
use PgScheduler\Task;
use PgScheduler\Worker;

$slowly = fn () => usleep((int) (getenv('WORK_MS') ?: 500) * 1000);

$worker = new Worker();
$worker->handle('order.ship', function (Task $task) use ($slowly): array {
    if ($task->payload['item'] === 'unicorn') {
        throw new Permanent('there are no unicorns', 'no_such_animal'); // no attempt will do better: to the dead letters
    }
    $task->progress(1, 2, 'packing');
    $slowly();
    $parcel = ship($task);
    $task->progress(2, 2, 'telling the post office');
    $slowly();
    return ['parcel' => $parcel]; // the reply
});
exit($worker->run());

/** The effect: once for each task, though this may run again after a crash at any point. */
function ship(Task $task): string
{
    static $db = null;
    $order = $task->payload;
    try {
        $db ??= database();
        $db->beginTransaction();
        $new = $db->prepare('insert into app.shipments (task, order_id, parcel) values (?, ?, ?) on conflict (task) do nothing');
        $new->execute([$task->id, $order['id'], strtoupper(bin2hex(random_bytes(4)))]);
        if ($new->rowCount() === 1) { // no attempt before this one came so far
            $db->prepare('update app.stock set shipped = shipped + ? where item = ?')->execute([$order['quantity'], $order['item']]);
        }
        $parcel = $db->prepare('select parcel from app.shipments where task = ?');
        $parcel->execute([$task->id]);
        $db->commit();
        return $parcel->fetchColumn();
    } catch (PDOException $e) {
        $db = null; // its connection may be broken: the next attempt gets a new one
        throw $e;
    }
}
