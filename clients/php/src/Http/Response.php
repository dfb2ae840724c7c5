<?php

declare(strict_types=1);

namespace PgScheduler\Http;

/** An answer. */
final class Response
{
    /** @param array<string, string> $headers by lower-case name */
    public function __construct(
        public readonly int $status,
        public readonly array $headers,
        public readonly string $body,
    ) {
    }

    /**
     * The body, objects as arrays.
     *
     * @return array<mixed>
     *
     * @throws \UnexpectedValueException when it is no JSON object or array: whoever answered was not the scheduler
     */
    public function json(): array
    {
        $value = json_decode($this->body, true, 512);
        if (!is_array($value)) {
            throw new \UnexpectedValueException("an answer with status $this->status that is not the scheduler's: " . substr($this->body, 0, 100));
        }
        return $value;
    }
}
