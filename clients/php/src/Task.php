<?php

declare(strict_types=1);

namespace PgScheduler;

use PgScheduler\Worker\Child;

/** The task that a handler runs. Times are RFC 3339, durations milliseconds. */
final class Task
{
    public readonly string $id;
    public readonly string $queue;
    public readonly string $kind;

    /** Objects as arrays, at every depth; see payloadAsObject(). */
    public readonly mixed $payload;

    /** Counts from 1; the same task never runs twice with the same number. */
    public readonly int $attempt;

    /** Failed attempts so far. */
    public readonly int $failures;
    public readonly int $maxAttempts;
    public readonly int $priority;

    /** Longest run of this attempt; null: no limit. */
    public readonly ?int $timeoutMs;
    public readonly string $runAt;
    public readonly string $createdAt;

    /** The schedule that made the task, and the tick that it stands for; null: none did. */
    public readonly ?string $schedule;
    public readonly ?string $tickAt;

    /** The topic and the id of the message that made the task; null: none did. */
    public readonly ?string $topic;
    public readonly ?string $messageId;

    /** W3C trace context; null: the task belongs to no trace. */
    public readonly ?string $traceparent;

    /** What this or an earlier attempt stored last, objects as arrays; null: nothing. */
    public mixed $checkpoint;

    /** @internal */
    public function __construct(private readonly Child $child, private readonly \stdClass $task)
    {
        $this->id = (string) $task->id;
        $this->queue = (string) ($task->queue ?? 'default');
        $this->kind = (string) $task->kind;
        $this->payload = Json::arrays($task->payload ?? null);
        $this->attempt = (int) ($task->attempt ?? 1);
        $this->failures = (int) ($task->failures ?? 0);
        $this->maxAttempts = (int) ($task->max_attempts ?? 1);
        $this->priority = (int) ($task->priority ?? 0);
        $this->timeoutMs = $task->timeout_ms ?? null;
        $this->runAt = (string) ($task->run_at ?? '');
        $this->createdAt = (string) ($task->created_at ?? '');
        $this->schedule = $task->schedule ?? null;
        $this->tickAt = $task->tick_at ?? null;
        $this->topic = $task->topic ?? null;
        $this->messageId = isset($task->message_id) ? (string) $task->message_id : null;
        $this->traceparent = $task->traceparent ?? null;
        $this->checkpoint = Json::arrays($task->checkpoint ?? null);
    }

    /** The payload with objects as stdClass, for those to whom {} and [] differ. */
    public function payloadAsObject(): mixed
    {
        return $this->task->payload ?? null;
    }

    /**
     * Says how far the task is; replaces what was said before. As often as you like: what comes fast is passed on in steps.
     *
     * @param ?int $total units in all; null: unknown
     * @param mixed $data anything else, as JSON
     *
     * @throws Cancelled when this attempt no longer counts
     */
    public function progress(int $current, ?int $total = null, ?string $message = null, mixed $data = null): void
    {
        $frame = ['op' => 'progress', 'id' => $this->id, 'current' => $current, 'total' => $total, 'data' => $data];
        $this->child->say($frame + ['message' => $message === null ? null : Json::text($message)]);
    }

    /**
     * A line of the task's log. What a handler echoes becomes such lines too.
     *
     * @throws Cancelled when this attempt no longer counts
     */
    public function log(string $message): void
    {
        $this->child->say(['op' => 'log', 'id' => $this->id, 'message' => Json::text($message)]);
    }

    /**
     * Stores where to go on after a crash or a failure, and returns once that is durable; the next attempt finds it in $checkpoint.
     *
     * @throws Cancelled       when this attempt no longer counts
     * @throws Failure         when it is refused: more than 262144 bytes of JSON, say
     * @throws \JsonException for what JSON has no form for
     */
    public function checkpoint(mixed $value): void
    {
        $this->child->save($this->id, $value);
        $this->checkpoint = Json::arrays(json_decode(Json::encode($value)));
    }

    /** Somebody cancelled the task, its time is over, or the worker must end now: return or throw soon. */
    public function cancelled(): bool
    {
        return $this->child->cancelled() !== null;
    }

    /** @throws Cancelled when cancelled() */
    public function check(): void
    {
        $reason = $this->child->cancelled();
        if ($reason !== null) {
            throw new Cancelled($reason);
        }
    }
}
