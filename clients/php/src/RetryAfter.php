<?php

declare(strict_types=1);

namespace PgScheduler;

/** Thrown by a handler: the attempt failed, and the next starts after so long (while attempts are left). */
final class RetryAfter extends Failure
{
    /** @param int $delayMs milliseconds, 0: at once */
    public function __construct(int $delayMs, string $message = '', ?string $errorCode = null, ?\Throwable $previous = null)
    {
        parent::__construct($message, $errorCode, true, $delayMs, $previous);
    }
}
