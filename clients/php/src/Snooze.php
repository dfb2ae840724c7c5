<?php

declare(strict_types=1);

namespace PgScheduler;

/** Thrown by a handler: not now, run the task again after so long. No failure is counted. */
final class Snooze extends \RuntimeException
{
    /** @param int $delayMs milliseconds */
    public function __construct(public readonly int $delayMs, public readonly string $reason = '')
    {
        parent::__construct($reason);
    }
}
