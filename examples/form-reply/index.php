<?php

// The front controller: checks the form, stores the order and submits its task in one transaction, answers, and is done. To take
// orders it needs PostgreSQL and nothing else: neither a consumer nor the scheduler's API must be up.

declare(strict_types=1);

require __DIR__ . '/app.php';

use PgScheduler\Client;
use PgScheduler\Database;
use PgScheduler\Exception\SchedulerException;
use PgScheduler\NewTask;
use PgScheduler\WatchToken;

const ITEMS = ['clock', 'horse', 'unicorn'];

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/') {
    require __DIR__ . '/form.html.php';
    return;
}
if ($path === '/form.js') {
    header('Content-Type: text/javascript');
    readfile(__DIR__ . '/form.js');
    return;
}
try {
    [$status, $answer] = match (true) {
        $path === '/orders' && $_SERVER['REQUEST_METHOD'] === 'POST' => place($_POST),
        preg_match('#\A/orders/([0-9a-f]{32})\z#', (string) $path, $found) === 1 => reply($found[1]),
        default => [404, ['errors' => ['id' => 'There is no such order.']]],
    };
} catch (PDOException $e) {
    error_log((string) $e);
    header('Retry-After: 1');
    [$status, $answer] = [503, ['errors' => ['id' => 'Send it again in a moment: it will not be ordered twice.']]];
}
http_response_code($status);
header('Content-Type: application/json');
header('Cache-Control: no-store');
echo json_encode($answer, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);

/** POST /orders. */
function place(array $form): array
{
    [$order, $errors] = check($form);
    if ($errors !== []) {
        return [422, ['errors' => $errors]];
    }
    $db = database();
    $db->beginTransaction();
    try {
        $task = (new Database($db))->submit(new NewTask('order.ship', $order, 'orders', maxAttempts: 5, idempotencyKey: "order-$order[id]"));
        $new = $db->prepare('insert into app.orders (id, email, item, quantity, task) values (:id, :email, :item, :quantity, :task) on conflict (id) do nothing');
        $new->execute($order + ['task' => $task]);
        if ($new->rowCount() === 1) {
            $db->prepare('update app.stock set pieces = pieces - ? where item = ?')->execute([$order['quantity'], $order['item']]);
        } // else the form was sent before, and $task is what it made then
        $db->commit(); // only now does a consumer hear of it
    } catch (PDOException $e) {
        if ($db->inTransaction()) {
            $db->rollBack(); // neither order nor task
        }
        return match ($e->getCode()) {
            '23514' => [409, ['errors' => ['quantity' => 'We have not got so many.']]],
            '23505' => [409, ['errors' => ['id' => 'This form was sent before, with something else in it.']]],
            default => throw $e,
        };
    }
    header("Location: /orders/$order[id]");
    header('Retry-After: 1');
    return [202, ['id' => $order['id'], 'poll' => "/orders/$order[id]", 'events' => watch($task) . '/events']];
}

/** The order in a form, and what is wrong with it. */
function check(array $form): array
{
    $text = fn (string $name): string => is_string($form[$name] ?? null) ? trim($form[$name]) : '';
    $order = [
        'id' => $text('id') ?: bin2hex(random_bytes(16)),
        'email' => $text('email'),
        'item' => $text('item'),
        'quantity' => filter_var($text('quantity'), FILTER_VALIDATE_INT, ['options' => ['min_range' => 1, 'max_range' => 100]]),
    ];
    return [$order, array_filter([
        'id' => preg_match('/\A[0-9a-f]{32}\z/', $order['id']) === 1 ? null : 'Load the form again.',
        'email' => filter_var($order['email'], FILTER_VALIDATE_EMAIL, FILTER_FLAG_EMAIL_UNICODE) ? null : 'This is no e-mail address.',
        'item' => in_array($order['item'], ITEMS, true) ? null : 'Choose one of: ' . implode(', ', ITEMS) . '.',
        'quantity' => $order['quantity'] !== false ? null : 'Order 1 to 100.',
    ])];
}

/** A link by which this browser, without a token, may see how far this task is. Made here: nobody is asked. */
function watch(string $task): string
{
    [$key, $secret] = explode(':', explode(',', (string) getenv('SCHEDULER_WATCH_KEYS'))[0]);
    $token = WatchToken::mint($key, base64_decode($secret), $task, time() + 3600);
    return (getenv('SCHEDULER_URL') ?: 'http://127.0.0.1:8080') . "/watch/$token";
}

/** GET /orders/{id}: how far it is, and the reply once there is one. With `Prefer: wait=N` not before, or after N seconds. */
function reply(string $id): array
{
    $db = database();
    $order = $db->prepare('select task from app.orders where id = ?');
    $order->execute([$id]);
    $task = $order->fetchColumn();
    if ($task === false) {
        return [404, ['errors' => ['id' => 'There is no such order.']]];
    }
    $found = (new Database($db))->task($task);
    $wait = preg_match('/\bwait=(\d+)/', $_SERVER['HTTP_PREFER'] ?? '', $prefer) === 1 ? min(30, (int) $prefer[1]) : 0;
    if ($wait > 0 && !$found->done) {
        $db = null; // waiting needs no connection
        try {
            $found = Client::fromEnvironment()->task($task, $wait);
        } catch (SchedulerException) { // its API is away: then without waiting
        }
    }
    return [200, [
        'id' => $id,
        'state' => $found->state,
        'done' => $found->done,
        'message' => $found->progress?->message,
        'reply' => $found->result,
        'error' => $found->done ? $found->error['message'] ?? null : null,
    ]];
}
