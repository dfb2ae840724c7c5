<?php

declare(strict_types=1);

namespace PgScheduler\Http;

use PgScheduler\Clock;
use PgScheduler\Exception\CircuitOpen;

/** Spares a server that does not answer: after some failures in a row nothing is asked for a while, then one call is tried. */
final class Breaker
{
    private int $failures = 0;
    private float $until = 0.0;

    /**
     * @param int   $most  failures in a row that open it; 0: never
     * @param float $pause    seconds without a call
     */
    public function __construct(private readonly int $most, private readonly float $pause)
    {
    }

    /** @throws CircuitOpen */
    public function pass(): void
    {
        $left = $this->until - Clock::now();
        if ($left > 0) {
            throw new CircuitOpen($left);
        }
    }

    public function succeeded(): void
    {
        $this->failures = 0;
        $this->until = 0.0;
    }

    public function failed(): void
    {
        if (++$this->failures >= $this->most && $this->most > 0) {
            $this->until = Clock::now() + $this->pause;
        }
    }
}
