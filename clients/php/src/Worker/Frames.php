<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

use PgScheduler\Json;

/** Lines of JSON on pipes. @internal */
final class Frames
{
    /** Bytes of a line at most. */
    public const MOST = 16 << 20;

    private string $in = '';
    private int $seen = 0; // bytes of $in without an end of line

    /**
     * The whole lines that have come; what follows the last end of line is kept.
     *
     * @return list<string>
     *
     * @throws \LengthException for a line of more than 16 MiB
     */
    public function lines(string $bytes): array
    {
        $this->in .= $bytes;
        $end = strrpos($this->in, "\n", $this->seen);
        if ($end === false) {
            $this->seen = strlen($this->in);
            if ($this->seen > self::MOST) {
                throw new \LengthException('a line of more than 16 MiB');
            }
            return [];
        }
        $lines = explode("\n", substr($this->in, 0, $end));
        $this->in = substr($this->in, $end + 1);
        $this->seen = 0;
        return $lines;
    }

    /** What came after the last end of line. */
    public function rest(): string
    {
        [$rest, $this->in, $this->seen] = [$this->in, '', 0];
        return $rest;
    }

    /**
     * Writes an object as a line, all of it.
     *
     * @param resource             $stream
     * @param array<string, mixed> $frame
     *
     * @throws \JsonException|\LengthException|BrokenPipe
     */
    public static function write($stream, array $frame): void
    {
        $line = Json::encode($frame) . "\n";
        if (strlen($line) > self::MOST) {
            throw new \LengthException(sprintf('%d bytes of JSON, at most %d may be sent', strlen($line), self::MOST));
        }
        for ($at = 0; $at < strlen($line); $at += $n) {
            $n = @fwrite($stream, $at === 0 ? $line : substr($line, $at));
            if ($n === false || $n === 0 && !self::writable($stream)) {
                throw new BrokenPipe('the other side is gone');
            }
        }
    }

    /** @param resource $stream */
    private static function writable($stream): bool
    {
        for ($tries = 0; $tries < 150; $tries++) { // a signal may end each
            $write = [$stream];
            $none = null;
            if (@stream_select($none, $write, $none, 0, 200_000) === 1) {
                return true;
            }
        }
        return false;
    }
}
