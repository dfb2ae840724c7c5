<?php

declare(strict_types=1);

namespace PgScheduler;

use PgScheduler\Exception\BadDelivery;

/**
 * A task that `scheduler worker --push` posted to a page of yours:
 *
 *     try {
 *         $task = Delivery::received((string) getenv('SCHEDULER_SECRET'));
 *     } catch (BadDelivery) {
 *         http_response_code(401);
 *         exit;
 *     }
 *
 * What the page answers ends the task; docs/guides/push.md says how. Times are RFC 3339, durations milliseconds.
 */
final class Delivery
{
    /**
     * @param string  $id               the same in every attempt: the idempotency key towards others
     * @param mixed   $payload          objects as arrays
     * @param int     $attempt          counts from 1
     * @param int     $failures         failed attempts so far
     * @param ?string $schedule         that made the task, and the tick that it stands for
     * @param ?string $topic            of the message that made it
     * @param mixed   $checkpoint       what an earlier attempt stored; null: nothing
     * @param int     $completeWithinMs after an answer of 202 you have so long
     * @param string  $lease            the right to end this attempt after a 202, for Client::lease()
     * @param ?string $traceparent      W3C trace context
     */
    private function __construct(
        public readonly string $id,
        public readonly string $kind,
        public readonly string $queue,
        public readonly mixed $payload,
        public readonly int $attempt,
        public readonly int $failures,
        public readonly int $maxAttempts,
        public readonly int $priority,
        public readonly string $runAt,
        public readonly string $createdAt,
        public readonly ?string $schedule,
        public readonly ?string $tickAt,
        public readonly ?string $topic,
        public readonly ?string $messageId,
        public readonly mixed $checkpoint,
        public readonly int $completeWithinMs,
        public readonly string $lease,
        public readonly ?string $traceparent,
    ) {
    }

    /**
     * The request that this page is run for.
     *
     * @param string|list<string> $secrets of the endpoint, each whsec_…; several while they are changed
     *
     * @throws BadDelivery
     * @throws \InvalidArgumentException for what is no secret, as an empty one
     */
    public static function received(#[\SensitiveParameter] string|array $secrets): self
    {
        return self::verify((string) file_get_contents('php://input'), $_SERVER, $secrets);
    }

    /**
     * The task in a request whose signature is good and young.
     *
     * @param string              $body    as it came, to the last byte
     * @param array<string, mixed> $headers values, or lists of them, by their names in any case; $_SERVER will do
     * @param string|list<string> $secrets of the endpoint, each whsec_…; several while they are changed
     * @param int                 $toleranceSeconds that the request may be old, and the clocks apart
     * @param ?int                $now     Unix seconds; null: now
     *
     * @throws BadDelivery
     * @throws \InvalidArgumentException for what is no secret, as an empty one
     */
    public static function verify(string $body, array $headers, #[\SensitiveParameter] string|array $secrets, int $toleranceSeconds = 300, ?int $now = null): self
    {
        $keys = array_map(self::key(...), array_values((array) $secrets));
        if ($keys === []) {
            throw new \InvalidArgumentException('there is no secret');
        }
        $given = self::headers($headers);
        foreach (['webhook-id', 'webhook-timestamp', 'webhook-signature'] as $name) {
            if (($given[$name] ?? '') === '') {
                throw new BadDelivery("the request has no $name", 'missing');
            }
        }
        $at = $given['webhook-timestamp'];
        if (preg_match('/\A[0-9]{1,15}\z/', $at) !== 1 || abs(($now ?? time()) - (int) $at) > $toleranceSeconds) {
            throw new BadDelivery("the request was not made within $toleranceSeconds s of now; is the clock right?", 'timestamp');
        }
        $signed = false;
        foreach ($keys as $key) {
            $mine = 'v1,' . base64_encode(hash_hmac('sha256', "{$given['webhook-id']}.$at.$body", $key, true));
            foreach (explode(' ', $given['webhook-signature']) as $theirs) {
                $signed = hash_equals($mine, $theirs) || $signed;
            }
        }
        if (!$signed) {
            throw new BadDelivery('no signature of the request is by a secret of this endpoint', 'signature');
        }
        return self::read($body, $given);
    }

    /** @param array<string, string> $headers */
    private static function read(string $body, array $headers): self
    {
        $task = json_decode($body);
        if (!$task instanceof \stdClass || !is_string($task->id ?? null) || !is_string($task->kind ?? null)) {
            throw new BadDelivery('the body of the request is no task', 'body');
        }
        return new self(
            $task->id,
            $task->kind,
            (string) ($task->queue ?? 'default'),
            Json::arrays($task->payload ?? null),
            (int) ($task->attempt ?? 1),
            (int) ($task->failures ?? 0),
            (int) ($task->max_attempts ?? 1),
            (int) ($task->priority ?? 0),
            (string) ($task->run_at ?? ''),
            (string) ($task->created_at ?? ''),
            $task->schedule ?? null,
            $task->tick_at ?? null,
            $task->topic ?? null,
            $task->message_id ?? null,
            Json::arrays($task->checkpoint ?? null),
            (int) ($task->complete_within_ms ?? 0),
            $headers['scheduler-lease'] ?? '',
            $headers['traceparent'] ?? null,
        );
    }

    private static function key(#[\SensitiveParameter] mixed $secret): string
    {
        $text = is_string($secret) && str_starts_with($secret, 'whsec_') ? substr($secret, 6) : '';
        $key = base64_decode($text, true);
        if ($key === false || base64_encode($key) !== $text || strlen($key) < 24 || strlen($key) > 64) {
            throw new \InvalidArgumentException('a secret is whsec_ and the base64 of 24 to 64 bytes');
        }
        return $key;
    }

    /**
     * @param array<string, mixed> $headers
     *
     * @return array<string, string> by names in lower case, with - between words
     */
    private static function headers(array $headers): array
    {
        $list = [];
        foreach ($headers as $name => $value) {
            $name = preg_replace('/\Ahttp-/', '', strtolower(strtr((string) $name, '_', '-')));
            $value = is_array($value) ? $value[0] ?? '' : $value;
            if (is_string($value)) {
                $list[$name] = $value;
            }
        }
        return $list;
    }
}
