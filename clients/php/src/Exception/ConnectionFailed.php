<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** The server could not be reached, or the connection broke. getCode() is `connection_failed`, or `circuit_open`. */
class ConnectionFailed extends SchedulerException
{
    /** @param bool $sent the request may have reached the server */
    public function __construct(string $message, public readonly bool $sent, string $code = 'connection_failed')
    {
        parent::__construct($message, $code);
    }
}
