<?php

declare(strict_types=1);

namespace PgScheduler;

/** A task to submit. Every argument but the kind may be left out; name those that you give. */
final class NewTask
{
    /**
     * @param string                    $kind           names the handler: 1 to 128 letters, digits and _ . : / \ -
     * @param mixed                     $payload        what json_encode takes, at most 262144 bytes of JSON
     * @param string                    $queue          1 to 128 letters, digits and _ . -
     * @param int                       $priority       -32768 to 32767, lower runs first
     * @param ?\DateTimeInterface       $runAt          not started before; not together with $delayMs
     * @param ?int                      $delayMs        milliseconds from now before which it is not started
     * @param ?int                      $maxAttempts    failures until it is failed, 1 to 1000; null: 10
     * @param ?int                      $timeoutMs      longest run of one attempt; null: no limit
     * @param ?\DateTimeInterface       $expiresAt      cancelled when not started by then; null: never
     * @param ?string                   $uniqueKey      a task of the queue that has it and is not final is returned instead
     * @param ?string                   $idempotencyKey the same request again returns the same task, another is refused
     * @param ?list<int>                $backoffMs      wait after the first, second, … failure, the last repeats; null: 1 s to 1 h, random
     * @param list<string>              $tags           words to find it by, at most 16
     */
    public function __construct(
        public readonly string $kind,
        public readonly mixed $payload = new \stdClass(),
        public readonly string $queue = 'default',
        public readonly int $priority = 0,
        public readonly ?\DateTimeInterface $runAt = null,
        public readonly ?int $delayMs = null,
        public readonly ?int $maxAttempts = null,
        public readonly ?int $timeoutMs = null,
        public readonly ?\DateTimeInterface $expiresAt = null,
        public readonly ?string $uniqueKey = null,
        public readonly ?string $idempotencyKey = null,
        public readonly ?array $backoffMs = null,
        public readonly array $tags = [],
    ) {
    }

    /**
     * The arguments that differ from their defaults, by their names in HTTP and SQL; the payload as it is.
     *
     * @return array<string, mixed>
     */
    public function fields(): array
    {
        $time = static fn (?\DateTimeInterface $at): ?string => $at?->format('Y-m-d\TH:i:s.uP');
        return ['kind' => $this->kind, 'payload' => $this->payload, 'queue' => $this->queue, 'priority' => $this->priority] + array_filter([
            'run_at' => $time($this->runAt),
            'delay_ms' => $this->delayMs,
            'max_attempts' => $this->maxAttempts,
            'timeout_ms' => $this->timeoutMs,
            'expires_at' => $time($this->expiresAt),
            'unique_key' => $this->uniqueKey,
            'idempotency_key' => $this->idempotencyKey,
            'backoff_ms' => $this->backoffMs,
            'tags' => $this->tags === [] ? null : $this->tags,
        ], static fn (mixed $value): bool => $value !== null);
    }
}
