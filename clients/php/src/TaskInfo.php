<?php

declare(strict_types=1);

namespace PgScheduler;

/** A task as it is now. Times are RFC 3339, durations milliseconds. */
final class TaskInfo
{
    /**
     * @param string                $state    blocked, scheduled, ready, running, completed, failed or cancelled
     * @param bool                  $done     the state is final: completed, failed or cancelled
     * @param mixed                 $payload  objects as arrays
     * @param ?Progress             $progress null: nothing was reported
     * @param mixed                 $result   what the handler returned; null unless completed
     * @param ?array{code: string, message: string} $error why the last attempt failed, or the task was cancelled
     * @param int                   $attempt  leases so far; 0: never started
     * @param ?string               $watchUrl for a browser without a token; only in the answer to a submit that asked for it
     * @param array<string, mixed>  $raw      all that the server said
     */
    public function __construct(
        public readonly string $id,
        public readonly string $kind,
        public readonly string $queue,
        public readonly string $state,
        public readonly bool $done,
        public readonly mixed $payload,
        public readonly ?Progress $progress,
        public readonly mixed $result,
        public readonly ?array $error,
        public readonly int $attempt,
        public readonly int $failures,
        public readonly int $maxAttempts,
        public readonly string $runAt,
        public readonly string $createdAt,
        public readonly ?string $startedAt,
        public readonly ?string $finishedAt,
        public readonly ?string $watchUrl = null,
        public readonly array $raw = [],
    ) {
    }

    /**
     * @internal
     *
     * @param array<string, mixed> $task of the API
     */
    public static function of(array $task, string $base = ''): self
    {
        $watch = $task['links']['watch'] ?? null;
        return new self(
            $task['id'],
            $task['kind'],
            $task['queue'],
            $task['state'],
            $task['done'],
            $task['payload'],
            isset($task['progress']) ? Progress::of($task['progress']) : null,
            $task['result'],
            $task['error'],
            $task['attempt'],
            $task['failures'],
            $task['max_attempts'],
            $task['run_at'],
            $task['created_at'],
            $task['started_at'],
            $task['finished_at'],
            $watch === null ? null : $base . $watch,
            $task,
        );
    }
}
