<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** Every error of Client and Database that is the scheduler's own. getCode() is a word, as `validation_failed`. */
class SchedulerException extends \RuntimeException
{
    public function __construct(string $message, string $code, ?\Throwable $previous = null)
    {
        parent::__construct($message, 0, $previous);
        $this->code = $code;
    }
}
