<?php

declare(strict_types=1);

namespace PgScheduler;

/** Time that nobody sets, for waits. @internal */
final class Clock
{
    /** Seconds since some moment. */
    public static function now(): float
    {
        return hrtime(true) / 1e9;
    }
}
