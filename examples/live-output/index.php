<?php

// The web application: a form, a page that shows an export, and the address that browsers without streams poll.

declare(strict_types=1);

require __DIR__ . '/../../clients/php/src/autoload.php';

use PgScheduler\Client;
use PgScheduler\Exception\NotFound;
use PgScheduler\NewTask;

$client = Client::fromEnvironment();
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

try {
    if ($path === '/exports' && $_SERVER['REQUEST_METHOD'] === 'POST') { // submit, and be done
        $rows = max(1, min(10_000, (int) ($_POST['rows'] ?? 20)));
        $ms = max(0, min(5_000, (int) ($_POST['ms'] ?? 300)));
        $task = $client->submit(new NewTask('export.run', ['rows' => $rows, 'ms' => $ms]), requestId: $_POST['form'] ?? null);
        header("Location: /exports?id=$task->id", true, 303);
    } elseif ($path === '/exports') { // the same page while it runs, after a reload, and when all is over
        $id = $_GET['id'] ?? '';
        $watch = $client->watchUrl($id, shows: ['lines', 'result']); // lets this browser follow this task, and nothing else
        require __DIR__ . '/export.html.php';
    } elseif ($path === '/api/task-status') { // for browsers, or proxies, that hold streams back
        $task = $client->task($_GET['id'] ?? '');
        header('Content-Type: application/json');
        header('Cache-Control: no-store');
        echo json_encode([
            'status' => $task->done ? $task->state : 'processing',
            'progress' => $task->state === 'completed' ? 100 : (int) $task->progress?->percent,
            'message' => $task->error['message'] ?? $task->progress?->message,
            'lines' => array_map(fn (array $line): array => ['id' => $line['id'], 'message' => $line['message']], $client->logs($task->id, (int) ($_GET['after'] ?? 0))),
            'result' => $task->result,
        ]);
    } elseif ($path === '/export.js') {
        header('Content-Type: text/javascript');
        readfile(__DIR__ . '/export.js');
    } elseif ($path === '/') {
        require __DIR__ . '/form.html.php';
    } else {
        throw new NotFound('there is no such page', 'not_found', 404);
    }
} catch (NotFound) {
    http_response_code(404);
    echo 'There is no such page or export.';
}
