<?php

declare(strict_types=1);

namespace PgScheduler;

/** Thrown by a handler: the attempt failed, so. Any other exception fails it too, is retried, and its class is the code. */
class Failure extends \RuntimeException
{
    /**
     * @param ?string $errorCode    one word for programs and for those who look at dead letters; null: error
     * @param bool    $retryable    tried again while attempts are left
     * @param ?int    $retryAfterMs milliseconds until then; null: as the task's backoff says
     */
    public function __construct(
        string $message = '',
        public readonly ?string $errorCode = null,
        public readonly bool $retryable = true,
        public readonly ?int $retryAfterMs = null,
        ?\Throwable $previous = null,
    ) {
        parent::__construct($message, 0, $previous);
    }
}
