<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** Nothing was asked: the last calls all failed, and the next is tried only after a while. getCode() is `circuit_open`. */
final class CircuitOpen extends ConnectionFailed
{
    /** @param float $retryAfter seconds until a call is tried again */
    public function __construct(public readonly float $retryAfter)
    {
        parent::__construct(sprintf('the scheduler did not answer lately; not asked again for %.1f s', $retryAfter), false, 'circuit_open');
    }
}
