<?php

declare(strict_types=1);

namespace PgScheduler;

/**
 * The task must end now. Task::check() throws it; and so does, with pcntl, any line of a handler that does not end by itself
 * within 5 s. Let it pass: `finally` is the place to clean up.
 */
final class Cancelled extends Failure
{
    /** @param string $reason cancelled, timeout, lost (the attempt is over, nothing of it counts any more) or shutdown */
    public function __construct(public readonly string $reason)
    {
        parent::__construct("the task was told to end: $reason", $reason === 'timeout' ? 'timeout' : 'cancelled');
    }
}
