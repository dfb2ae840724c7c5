<?php

declare(strict_types=1);

namespace PgScheduler;

use PgScheduler\Exception\NotFound;

/**
 * The scheduler in the app's own database and transaction: what is submitted exists if and only if the transaction commits.
 *
 *     $pdo->beginTransaction();
 *     $pdo->prepare('insert into orders (id) values (?)')->execute([42]);
 *     $id = (new Database($pdo))->submit(new NewTask('invoice.render', ['order' => 42]));
 *     $pdo->commit();
 *
 * It never begins, commits or rolls back. Errors of the database are PDO's own exceptions: SQLSTATE 22023 names a bad argument, 23505
 * with tasks_idempotency_key is a key that came before with another request. As always in PostgreSQL, after an error the transaction
 * can only be rolled back.
 */
final class Database
{
    private const TYPES = ['kind' => 'text', 'payload' => 'jsonb', 'queue' => 'text', 'priority' => 'integer', 'run_at' => 'timestamptz',
        'delay_ms' => 'bigint', 'max_attempts' => 'integer', 'timeout_ms' => 'bigint', 'expires_at' => 'timestamptz', 'unique_key' => 'text',
        'idempotency_key' => 'text', 'backoff_ms' => 'bigint[]', 'tags' => 'text[]', 'traceparent' => 'text'];

    private const TASK = <<<'SQL'
        select jsonb_build_object('id', id, 'kind', kind, 'queue', queue, 'state', state, 'done', state in ('completed', 'failed', 'cancelled'),
          'payload', payload, 'result', result, 'attempt', attempt, 'failures', failures, 'max_attempts', max_attempts, 'run_at', run_at,
          'created_at', created_at, 'started_at', started_at, 'finished_at', finished_at,
          'error', case when coalesce(error_code, error) is not null then jsonb_build_object('code', coalesce(error_code, ''), 'message', coalesce(error, '')) end,
          'progress', case when progress_current is not null then jsonb_build_object('current', progress_current, 'total', progress_total,
            'percent', case when progress_total > 0 then least(100, greatest(0, round(100.0 * progress_current / progress_total, 1))) end,
            'message', progress_message, 'data', progress_data, 'at', progress_at) end)
        from scheduler.tasks where id = ?::uuid
        SQL;

    /** @param \PDO $pdo of the driver pgsql */
    public function __construct(private readonly \PDO $pdo)
    {
    }

    /**
     * Submits a task in the transaction that is open, or by itself, and returns its id.
     *
     * @param ?string $traceparent W3C trace context that the task belongs to. null: none
     *
     * @throws \PDOException
     * @throws \JsonException for a payload that JSON has no form for
     */
    public function submit(NewTask $task, ?string $traceparent = null): string
    {
        $arguments = $values = [];
        foreach ($task->fields() + ($traceparent === null ? [] : ['traceparent' => $traceparent]) as $name => $value) {
            $type = self::TYPES[$name];
            $arguments[] = "$name => ?::$type";
            $values[] = match ($type) {
                'jsonb' => Json::encode($value),
                'bigint[]', 'text[]' => self::elements($value),
                default => $value,
            };
        }
        return $this->value('select scheduler.submit(' . implode(', ', $arguments) . ')', $values);
    }

    /**
     * A task as this transaction sees it.
     *
     * @throws NotFound|\PDOException
     */
    public function task(string $id): TaskInfo
    {
        $json = $this->value(self::TASK, [$id]);
        if ($json === null) {
            throw new NotFound("there is no task $id", 'not_found', 404);
        }
        return TaskInfo::of(json_decode($json, true, 512, JSON_THROW_ON_ERROR));
    }

    /**
     * Only the state of a task: blocked, scheduled, ready, running, completed, failed or cancelled.
     *
     * @throws NotFound|\PDOException
     */
    public function status(string $id): string
    {
        return $this->value('select state from scheduler.tasks where id = ?::uuid', [$id])
            ?? throw new NotFound("there is no task $id", 'not_found', 404);
    }

    /**
     * Cancels a task. False: it is final or unknown, nothing changed.
     *
     * @throws \PDOException
     */
    public function cancel(string $id, ?string $reason = null): bool
    {
        return $this->value('select id from scheduler.cancel(?::uuid, ?::text)', [$id, $reason]) !== null;
    }

    /**
     * Brings a failed or cancelled task back. False: it is in another state or unknown, nothing changed.
     *
     * @throws \PDOException
     */
    public function retry(string $id): bool
    {
        return $this->value('select id from scheduler.retry(?::uuid)', [$id]) !== null;
    }

    /**
     * Publishes to a topic in the transaction that is open, one task for each subscription that matches, and returns the id of the message.
     *
     * @param ?string $idempotencyKey the same request again publishes nothing and returns the first message
     * @param ?string $traceparent    W3C trace context that its tasks belong to. null: none
     *
     * @throws \PDOException
     * @throws \JsonException for a payload that JSON has no form for
     */
    public function publish(string $topic, mixed $payload = new \stdClass(), ?string $idempotencyKey = null, ?string $traceparent = null): string
    {
        $sql = 'select scheduler.publish(topic => ?::text, payload => ?::jsonb, idempotency_key => ?::text, traceparent => ?::text)';
        return (string) $this->value($sql, [$topic, Json::encode($payload), $idempotencyKey, $traceparent]);
    }

    /** @param list<mixed> $values */
    private function value(string $sql, array $values): ?string
    {
        foreach ($values as $value) { // the driver would cut it off there, and two keys would be one
            if (is_string($value) && str_contains($value, "\0")) {
                throw new \InvalidArgumentException('a text with a NUL byte, which PostgreSQL does not store');
            }
        }
        $statement = $this->pdo->prepare($sql);
        if ($statement === false || !$statement->execute($values)) {
            throw new \PDOException(($statement ?: $this->pdo)->errorInfo()[2] ?? 'the statement failed');
        }
        $value = $statement->fetchColumn();
        $statement->closeCursor();
        return $value === false || $value === null ? null : (string) $value;
    }

    /** @param list<int|string> $list */
    private static function elements(array $list): string
    {
        return '{' . implode(',', array_map(static fn ($v): string => '"' . addcslashes((string) $v, '"\\') . '"', $list)) . '}';
    }
}
