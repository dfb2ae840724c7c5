<?php

declare(strict_types=1);

namespace PgScheduler;

/** Thrown by a handler: the task fails for good, for trying again can't help. */
final class Permanent extends Failure
{
    public function __construct(string $message = '', ?string $errorCode = null, ?\Throwable $previous = null)
    {
        parent::__construct($message, $errorCode, false, null, $previous);
    }
}
