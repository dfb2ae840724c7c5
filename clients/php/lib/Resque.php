<?php

use PgScheduler\Client;
use PgScheduler\Database;
use PgScheduler\NewTask;
use PgScheduler\Resque\Handler;

/**
 * php-resque's front door, on the scheduler: enqueues jobs as tasks of the kind `resque`. It finds the server in SCHEDULER_URL
 * and SCHEDULER_TOKEN, or where setBackend() says.
 */
class Resque
{
    public const VERSION = '1.2';
    public const DEFAULT_INTERVAL = 5;

    /** Attempts of a job that fails. Resque has no retries: one that runs twice must be written for it. */
    public static int $maxAttempts = 1;

    private static Client|Database|null $backend = null;

    /**
     * Where jobs go: the URL of a server, a PgScheduler\Client, or a PDO connection, in whose transaction jobs are enqueued then.
     * What is meant for Redis (localhost:6379, redis://…, an array) says nothing about a scheduler and is passed over.
     *
     * @param mixed $server
     * @param mixed $database unused
     */
    public static function setBackend($server, $database = 0): void
    {
        self::$backend = match (true) {
            $server instanceof PDO => new Database($server),
            $server instanceof Client => $server,
            is_string($server) && preg_match('#\Ahttps?://#', $server) === 1 => new Client($server, getenv('SCHEDULER_TOKEN') ?: null),
            default => null,
        };
    }

    /** Where jobs go now. */
    public static function backend(): Client|Database
    {
        return self::$backend ??= Client::fromEnvironment();
    }

    /**
     * Enqueues a job and returns its id, that of the task; false when a listener of beforeEnqueue threw Resque_Job_DontCreate.
     *
     * @param string $queue       1 to 128 letters, digits and _ . -
     * @param string $class       with a method perform(); loaded by the worker
     * @param ?array $args        what JSON has a form for
     * @param bool   $trackStatus unused: every job can be followed
     *
     * @return string|false
     */
    public static function enqueue($queue, $class, $args = null, $trackStatus = false)
    {
        if ($args !== null && !is_array($args)) {
            throw new InvalidArgumentException('Supplied $args must be an array.');
        }
        try {
            Resque_Event::trigger('beforeEnqueue', ['class' => $class, 'args' => $args, 'queue' => $queue, 'id' => null]);
        } catch (Resque_Job_DontCreate) {
            return false;
        }
        $class = (string) $class;
        $tag = 'class:' . strtr($class, '\\', '.');
        $tags = preg_match('#\A[A-Za-z0-9_.:-]{1,64}\z#', $tag) === 1 ? [$tag] : [];
        $task = new NewTask(Handler::KIND, ['class' => $class, 'args' => $args ?? []], (string) $queue, maxAttempts: self::$maxAttempts, tags: $tags);
        $backend = self::backend();
        $id = $backend instanceof Database ? $backend->submit($task) : $backend->submit($task)->id;
        Resque_Event::trigger('afterEnqueue', ['class' => $class, 'args' => $args, 'queue' => $queue, 'id' => $id]);
        return $id;
    }

    /**
     * Names of all queues.
     *
     * @return list<string>
     */
    public static function queues()
    {
        return array_column(self::client()->queues(), 'name');
    }

    /**
     * Jobs of a queue that wait; 20000 means that many or more.
     *
     * @param string $queue
     *
     * @return int
     */
    public static function size($queue)
    {
        $found = array_column(self::client()->queues(), null, 'name')[$queue] ?? ['ready' => 0, 'scheduled' => 0];
        return $found['ready'] + $found['scheduled'];
    }

    private static function client(): Client
    {
        $backend = self::backend();
        return $backend instanceof Client ? $backend : Client::fromEnvironment();
    }
}
