<?php

// Runs exports. Start as many of these as you like, on as many machines: php worker.php

declare(strict_types=1);

require __DIR__ . '/../../clients/php/src/autoload.php';

use PgScheduler\Task;
use PgScheduler\Worker;

$worker = new Worker();
$worker->handle('export.run', function (Task $task): array {
    $rows = (int) $task->payload['rows'];
    for ($row = 1; $row <= $rows; $row++) {
        usleep((int) ($task->payload['ms'] ?? 300) * 1000); // the slow part
        echo "row $row of $rows written\n"; // whatever a handler prints is a line of its task
        $task->progress($row, $rows, $row < $rows ? 'writing' : 'closing the file');
    }
    return ['rows' => $rows, 'file' => "/exports/$task->id.csv"];
});
exit($worker->run());
