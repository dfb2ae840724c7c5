<?php

declare(strict_types=1);

namespace PgScheduler;

/** The last report of a task. */
final class Progress
{
    /**
     * @param int     $current units done
     * @param ?int    $total   units in all; null: unknown
     * @param ?float  $percent 0 to 100; null: the total is unknown
     * @param mixed   $data    whatever else the handler reported
     * @param ?string $at      RFC 3339
     */
    public function __construct(
        public readonly int $current,
        public readonly ?int $total,
        public readonly ?float $percent,
        public readonly ?string $message,
        public readonly mixed $data,
        public readonly ?string $at,
    ) {
    }

    /**
     * @internal
     *
     * @param array<string, mixed> $p of the API
     */
    public static function of(array $p): self
    {
        $percent = isset($p['percent']) ? (float) $p['percent'] : null;
        return new self($p['current'], $p['total'], $percent, $p['message'], $p['data'], $p['at']);
    }
}
