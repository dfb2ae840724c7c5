<?php

declare(strict_types=1);

namespace PgScheduler;

use PgScheduler\Exception\ConnectionFailed;
use PgScheduler\Exception\LeaseLost;
use PgScheduler\Worker\Verdict;

/**
 * The right to end one attempt: for who answered a Delivery by 202, now or in another process.
 *
 *     $lease = Client::fromEnvironment()->lease($delivery->lease);
 *     $lease->complete(['sent' => true]);
 *
 * Every method throws LeaseLost when the attempt is over by anybody else's doing (nothing of it counts any more: stop), and what calls of
 * Client throw. Calls are repeated as those are: ending an attempt twice in the same way is no error.
 */
final class Lease
{
    /** @internal */
    public function __construct(private readonly Client $client, private readonly string $token)
    {
        if ($token === '') {
            throw new \InvalidArgumentException('the header Scheduler-Lease of a delivery is needed');
        }
    }

    /**
     * The task is done.
     *
     * @param mixed $result what JSON has a form for, at most 262144 bytes of it
     *
     * @return string the state of the task now
     *
     * @throws LeaseLost|ConnectionFailed
     * @throws \JsonException
     */
    public function complete(mixed $result = null): string
    {
        return $this->post('complete', ['result' => $result])['state'];
    }

    /**
     * The attempt has failed. An exception means what it means in a handler: Permanent, RetryAfter and Snooze too.
     *
     * @return string the state of the task now
     *
     * @throws LeaseLost|ConnectionFailed
     */
    public function fail(\Throwable|string $error): string
    {
        $frame = Verdict::of(is_string($error) ? new Failure($error) : $error);
        if ($frame['op'] === 'snooze') {
            return $this->release($frame['delay_ms'], $frame['reason']);
        }
        $body = ['error' => ['code' => $frame['code'], 'message' => $frame['message'], 'stack' => $frame['stack']], 'retryable' => $frame['retryable']];
        return $this->post('fail', $body + (isset($frame['retry_after_ms']) ? ['retry_after_ms' => max(0, $frame['retry_after_ms'])] : []))['state'];
    }

    /**
     * Hands the task back, which counts as no failure.
     *
     * @param int $delayMs until it runs again; 0: as soon as somebody is free
     *
     * @return string the state of the task now
     *
     * @throws LeaseLost|ConnectionFailed
     */
    public function release(int $delayMs = 0, string $reason = ''): string
    {
        return $this->post('release', ($delayMs > 0 ? ['delay_ms' => $delayMs] : []) + ($reason === '' ? [] : ['reason' => Json::text($reason)]))['state'];
    }

    /**
     * Says how the work goes on; what is null, or empty, stays as it was.
     *
     * @param ?int         $total      units in all; null: unknown
     * @param mixed        $data       anything else, as JSON
     * @param list<string> $lines      for the task's log
     * @param mixed        $checkpoint what the next attempt is given, should this one fail
     *
     * @return bool false: somebody asked to cancel the task: stop, and fail
     *
     * @throws LeaseLost|ConnectionFailed
     * @throws \JsonException
     */
    public function heartbeat(?int $current = null, ?int $total = null, ?string $message = null, mixed $data = null, array $lines = [], mixed $checkpoint = null): bool
    {
        $there = static fn (mixed $value): bool => $value !== null;
        $progress = array_filter(['current' => $current, 'total' => $total, 'message' => $message === null ? null : Json::text($message), 'data' => $data], $there);
        $body = ['progress' => $progress === [] ? null : $progress, 'logs' => $lines === [] ? null : array_map(Json::text(...), $lines), 'checkpoint' => $checkpoint];
        return !$this->post('heartbeat', array_filter($body, $there))['cancelled'];
    }

    /**
     * @param array<string, mixed> $body
     *
     * @return array<string, mixed>
     */
    private function post(string $verb, array $body): array
    {
        return $this->client->call('POST', '/v1/leases/' . rawurlencode($this->token) . "/$verb", $body === [] ? new \stdClass() : $body)->json();
    }
}
