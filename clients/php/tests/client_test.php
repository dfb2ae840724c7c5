<?php

// Client: everything that an app asks of a server.

declare(strict_types=1);

require __DIR__ . '/support.php';

use PgScheduler\Client;
use PgScheduler\Exception\ApiException;
use PgScheduler\Exception\CircuitOpen;
use PgScheduler\Exception\Conflict;
use PgScheduler\Exception\ConnectionFailed;
use PgScheduler\Exception\KeyReused;
use PgScheduler\Exception\NotFound;
use PgScheduler\Exception\Unauthorized;
use PgScheduler\Exception\ValidationFailed;
use PgScheduler\NewTask;
use PgScheduler\WatchToken;

$client = client();
$nobody = '01a1fbc0-c975-7f37-a6be-a8f3e8777fbf';

$text = "žluťoučký 🐎 \"quotes\" \\ / \n";
$task = $client->submit(new NewTask('mail.send', ['text' => $text, 'n' => 1.5], 'quiet', priority: -3, delayMs: 3_600_000, maxAttempts: 3,
    timeoutMs: 5000, expiresAt: new DateTimeImmutable('2030-01-01T00:00:00+02:00'), uniqueKey: 'u', idempotencyKey: 'i', backoffMs: [1, 2], tags: ['b', 'a']));
check('state', $task->state, 'scheduled');
check('payload', $task->payload, ['text' => $text, 'n' => 1.5]);
check('text', $client->task($task->id)->payload['text'], $text);
check('fields', [$task->kind, $task->queue, $task->done, $task->maxAttempts, $task->raw['priority'], $task->raw['timeout_ms'], $task->raw['expires_at'],
    $task->raw['unique_key'], $task->raw['idempotency_key'], $task->raw['backoff_ms'], $task->raw['tags']],
    ['mail.send', 'quiet', false, 3, -3, 5000, '2029-12-31T22:00:00Z', 'u', 'i', [1, 2], ['a', 'b']]);
check('unique', $client->submit(new NewTask('mail.send', queue: 'quiet', uniqueKey: 'u'))->id, $task->id);
check('status', $client->status($task->id), 'scheduled');
$trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
check('trace', $client->submit(new NewTask('x', queue: 'quiet'), traceparent: $trace)->raw['traceparent'], $trace);
check('empty payload', $client->submit(new NewTask('nothing', queue: 'quiet'))->raw['payload'], []);

$once = new NewTask('order', ['id' => 7], 'quiet');
$first = $client->submit($once, requestId: 'request-7');
check('the same request', $client->submit($once, requestId: 'request-7')->id, $first->id);
check('no request id', $client->submit($once)->id === $client->submit($once)->id, false);
$e = thrown('another request', KeyReused::class, fn () => $client->submit(new NewTask('order', ['id' => 8], 'quiet'), requestId: 'request-7'));
check('another request', [$e->getCode(), $e->status, $e->taskId], ['idempotency_key_reused', 422, $first->id]);
$watched = $client->submit(new NewTask('order', queue: 'quiet'), watchTtlMs: 60_000);
check('watch', str_starts_with((string) $watched->watchUrl, $client->url . '/watch/'), true);
check('watch answers', json_decode(file_get_contents($watched->watchUrl), true)['id'], $watched->id);
check('watch later', json_decode(file_get_contents($client->watchUrl($first->id)), true)['id'], $first->id);
$own = WatchToken::mint(WatchToken::DERIVED_ID, WatchToken::derive(getenv('SCHEDULER_TOKEN')), $first->id, time() + 60);
check('watch by an own token', json_decode(file_get_contents("$client->url/watch/$own"), true)['id'], $first->id);

$many = $client->submitMany(array_map(fn (int $i) => new NewTask('many', ['i' => $i], 'many'), range(1, 100)));
check('many', [count($many), count(array_unique(array_column($many, 'id'))), $client->task($many[41]['id'])->payload], [100, 100, ['i' => 42]]);
$seen = [];
for ($cursor = null, $pages = 0; $pages === 0 || $cursor !== null; $pages++) {
    $page = $client->tasks(queue: 'many', state: 'ready', limit: 30, cursor: $cursor);
    $seen = [...$seen, ...array_map(fn ($t) => $t->id, $page->items)];
    $cursor = $page->nextCursor;
}
check('pages', [count($seen), count(array_unique($seen))], [100, 100]);
check('by tag', array_map(fn ($t) => $t->id, $client->tasks(tag: 'a')->items), [$task->id]);
check('queues', array_column($client->queues(), 'ready', 'name')['many'], 100);
check('why', $client->why($task->id)[0]['code'] !== '', true);
check('no logs', $client->logs($first->id), []);
check('no workers', $client->workers(), []);

check('cancel', $client->cancel($first->id, 'nobody wants it')->error, ['code' => 'cancelled', 'message' => 'nobody wants it']);
check('retry', $client->retry($first->id)->state, 'ready');
$e = thrown('retry of what is ready', Conflict::class, fn () => $client->retry($first->id));
check('conflict', [$e->getCode(), $e->state, $e->taskId], ['state_conflict', 'ready', $first->id]);

$e = thrown('nobody', NotFound::class, fn () => $client->task($nobody));
check('not found', [$e->getCode(), $e->status, $e->requestId !== null], ['not_found', 404, true]);
thrown('no id', ApiException::class, fn () => $client->task('../tasks'));
$e = thrown('a bad kind', ValidationFailed::class, fn () => $client->submit(new NewTask('?')));
check('a bad kind', [$e->getCode(), $e->errors[0]['pointer']], ['validation_failed', '/kind']);
thrown('a payload too large', ApiException::class, fn () => $client->submit(new NewTask('x', str_repeat('x', 300_000))));
thrown('a body too large', ApiException::class, fn () => $client->submit(new NewTask('x', str_repeat('x', 30_000_000))));
check('afterwards', $client->status($first->id), 'ready');
thrown('no JSON', JsonException::class, fn () => $client->submit(new NewTask('x', "\xff")));
thrown('a header in a request id', InvalidArgumentException::class, fn () => $client->submit(new NewTask('x'), requestId: "a\r\nX: y"));
thrown('a bad command', InvalidArgumentException::class, fn () => $client->command($nobody, 'dance'));
thrown('a command for nobody', NotFound::class, fn () => $client->command($nobody, 'quiet'));
check('a wrong token', thrown('a wrong token', Unauthorized::class, fn () => (new Client($client->url, 'wrong'))->queues())->getCode(), 'unauthorized');
foreach (['', 'localhost', 'ftp://x', 'http://', 'http://x?y'] as $url) {
    thrown("the URL '$url'", InvalidArgumentException::class, fn () => new Client($url));
}

foreach (['http://ann:a-secret@x', 'http://a-secret@x'] as $url) {
    check('a URL with a password', str_contains(thrown('it', InvalidArgumentException::class, fn () => new Client($url))->getMessage(), 'a-secret'), false);
}

// Topics.
$client->call('PUT', '/v1/subscriptions/php', ['pattern' => 'order.*', 'kind' => 'topic.kind', 'queue' => 'topic']);
$published = $client->publish('order.created', ['id' => 7], requestId: 'message-7');
check('published', [$published['topic'], array_column($published['tasks'], 'queue')], ['order.created', ['topic']]);
check('published once', $client->publish('order.created', ['id' => 7], requestId: 'message-7')['id'], $published['id']);
check('its payload', $client->task($published['tasks'][0]['id'])->payload, ['id' => 7]);
$pdo = pdo();
$pdo->beginTransaction();
(new PgScheduler\Database($pdo))->publish('order.paid');
$pdo->rollBack();
$message = (new PgScheduler\Database($pdo))->publish('order.paid', ['id' => 8], 'key');
check('by SQL, once', (new PgScheduler\Database($pdo))->publish('order.paid', ['id' => 8], 'key'), $message);
check('two tasks', count($client->tasks(queue: 'topic')->items), 2);

// A server that breaks its connections: what may be repeated is, and is done once.
$listen = stream_socket_server('tcp://127.0.0.1:0');
$port = (int) substr(strrchr(stream_socket_get_name($listen, false), ':'), 1);
$proxy = pcntl_fork();
if ($proxy === 0) { // each second connection is passed on, and its answer kept back; every third is served
    for ($n = 0; $c = @stream_socket_accept($listen, 60); $n++) {
        if ($n % 3 === 0) {
            fclose($c);
            continue;
        }
        $in = '';
        while (!preg_match('/\r\n\r\n/', $in) || preg_match('/Content-Length: (\d+)/i', $in, $m) && strlen($in) < strpos($in, "\r\n\r\n") + 4 + (int) $m[1]) {
            $in .= fread($c, 8192);
        }
        $to = stream_socket_client('tcp://' . parse_url(getenv('SCHEDULER_URL'), PHP_URL_HOST) . ':' . parse_url(getenv('SCHEDULER_URL'), PHP_URL_PORT));
        fwrite($to, preg_replace('/\r\n/', "\r\nConnection: close\r\n", $in, 1));
        $out = stream_get_contents($to);
        fwrite($c, $n % 3 === 1 ? substr($out, 0, 30) : $out);
        fclose($c);
    }
    posix_kill(getmypid(), SIGKILL);
}
fclose($listen);
$weak = new Client("http://127.0.0.1:$port", getenv('SCHEDULER_TOKEN'));
for ($i = 0; $i < 4; $i++) {
    check("submit $i through it", $weak->submit(new NewTask('weak', ['i' => $i], 'weak'))->payload, ['i' => $i]);
}
check('each once', count($client->tasks(queue: 'weak')->items), 4);
thrown('a batch is not repeated', ConnectionFailed::class, function () use ($weak): void {
    for ($i = 0; $i < 3; $i++) {
        $weak->submitMany([new NewTask('weak.batch', queue: 'weak')]);
    }
});
posix_kill($proxy, SIGKILL);
pcntl_waitpid($proxy, $status);

// Nobody listens.
foreach ([60, 0.3] as $pause) {
    $sick = new Client('http://127.0.0.1:1', retries: 0, breakerFailures: 2, breakerPause: $pause);
    for ($i = 0; $i < 2; $i++) {
        check('connection', thrown('nobody listens', ConnectionFailed::class, fn () => $sick->queues())->getCode(), 'connection_failed');
    }
    if ($pause === 60) {
        check('circuit', thrown('the circuit is open', CircuitOpen::class, fn () => $sick->queues())->getCode(), 'circuit_open');
    }
}
until('it is tried again', function () use ($sick): bool {
    try {
        $sick->queues();
    } catch (CircuitOpen) {
        return false;
    } catch (ConnectionFailed) {
        return true;
    }
});

// A server that takes the request and says nothing.
$mute = stream_socket_server('tcp://127.0.0.1:0');
$deaf = new Client('http://' . stream_socket_get_name($mute, false), timeout: 0.2, retries: 0);
$e = until('the request was sent in time', function () use ($deaf): ?ConnectionFailed {
    $e = thrown('no answer', ConnectionFailed::class, fn () => $deaf->queues());
    return $e->sent ? $e : null;
});
check('no answer', str_contains($e->getMessage(), '0.2'), true);

// Answers in the finished task.
$worker = worker('fast');
$greeted = $client->submit(new NewTask('greet', ['name' => 'Žofie'], 'fast'), waitSeconds: 30);
check('the result', [$greeted->state, $greeted->done, $greeted->result['greeting']], ['completed', true, 'hello Žofie']);
check('workers', array_column($client->workers(), 'language'), ['php ' . PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION]);
$id = $client->workers()[0]['id'];
$client->command($id, 'quiet');
until('it is quiet', fn () => $client->workers()[0]['command'] === 'quiet');
$client->command($id, 'run');
check('works again', ended(submit('fast', 'greet', ['name' => 'x'])->id)->state, 'completed');
$client->command($id, 'stop');
check('stopped', $worker->exit(), 0);
done(60);
