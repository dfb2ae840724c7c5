<?php

// Lease: what a receiver of pushed tasks does after it answered 202. Here the leases come from a worker's call.

declare(strict_types=1);

require __DIR__ . '/support.php';

use PgScheduler\Exception\LeaseLost;
use PgScheduler\NewTask;
use PgScheduler\Permanent;
use PgScheduler\RetryAfter;
use PgScheduler\Snooze;

$client = client();

/** Submits a task and leases it: its id and its lease. */
function leased(string $queue, int $maxAttempts = 3): array
{
    $id = client()->submit(new NewTask('pushed', queue: $queue, maxAttempts: $maxAttempts, backoffMs: [3_600_000]))->id;
    $worker = client()->call('POST', '/v1/leases', ['queues' => [$queue], 'kinds' => ['pushed']], waitSeconds: 30)->json();
    return [$id, $worker['leases'][0]['lease'], $worker['worker']['id']];
}

/** The code and the message of the last error. */
function failure(string $id): array
{
    $error = client()->task($id)->error;
    return [$error['code'], $error['message']];
}

[$id, $token] = leased('l1');
$lease = $client->lease($token);
check('goes on', $lease->heartbeat(1, 2, "halb \xff\0", ['a' => 1], ["line \xff", 'two'], ['row' => 7]), true);
check('a beat', $lease->heartbeat(), true);
$task = $client->task($id);
check('progress', [$task->progress?->current, $task->progress?->total, $task->progress?->message, $task->progress?->data], [1, 2, "halb \u{FFFD}\u{FFFD}", ['a' => 1]]);
check('lines', array_column($client->logs($id), 'message'), ["line \u{FFFD}", 'two']);
check('complete', $lease->complete(['sent' => 'žluť']), 'completed');
check('complete again', $lease->complete(['sent' => 'žluť']), 'completed');
check('result', $client->task($id)->result, ['sent' => 'žluť']);
thrown('fail after that', LeaseLost::class, fn () => $lease->fail('no'));
thrown('and a beat', LeaseLost::class, fn () => $lease->heartbeat());

[$id, $token] = leased('l2');
check('no result', $client->lease($token)->complete(), 'completed');
[$id, $token] = leased('l3');
check('permanent', $client->lease($token)->fail(new Permanent('never', 'bad')), 'failed');
check('its error', failure($id), ['bad', 'never']);
[$id, $token] = leased('l4');
check('a text', $client->lease($token)->fail('not now'), 'scheduled');
check('its error', failure($id), ['error', 'not now']);
[$id, $token] = leased('l5');
check('an exception', $client->lease($token)->fail(new DomainException('no')), 'scheduled');
check('its class', failure($id), ['DomainException', 'no']);
[$id, $token] = leased('l6');
check('later', $client->lease($token)->fail(new RetryAfter(3_600_000, 'busy')), 'scheduled');
[$id, $token] = leased('l7', 1);
check('snooze', $client->lease($token)->fail(new Snooze(3_600_000, str_repeat('é', 2000))), 'scheduled');
check('no failure', $client->task($id)->failures, 0);
[$id, $token] = leased('l8');
check('release', $client->lease($token)->release(), 'ready');
[$id, $token] = leased('l9');
check('release for later', $client->lease($token)->release(3_600_000, 'night'), 'scheduled');
[$id, $token] = leased('l10');
$client->cancel($id);
check('told to stop', $client->lease($token)->heartbeat(), false);
check('as told', $client->lease($token)->fail('cancelled'), 'cancelled');
thrown('no token', InvalidArgumentException::class, fn () => $client->lease(''));
thrown('a token that is none', PgScheduler\Exception\ApiException::class, fn () => $client->lease('x')->complete());

// A class with a long name is tried again, as any other.
[$id, $token] = leased('l11');
check('a long code', $client->lease($token)->fail(new PgScheduler\Failure('again', str_repeat('VeryLongNamespace\\', 5) . 'Exception')), 'scheduled');
[$code, $message] = failure($id);
check('is cut', [strlen($code) <= 64, str_starts_with($code, 'VeryLongNamespace'), $message], [true, true, 'again']);

done(27);
