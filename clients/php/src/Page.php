<?php

declare(strict_types=1);

namespace PgScheduler;

/**
 * A part of a list.
 *
 * @template T
 */
final class Page
{
    /**
     * @param list<T>  $items
     * @param ?string  $nextCursor gets the next page; null: this is the last
     */
    public function __construct(public readonly array $items, public readonly ?string $nextCursor)
    {
    }
}
