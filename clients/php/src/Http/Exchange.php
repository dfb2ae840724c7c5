<?php

declare(strict_types=1);

namespace PgScheduler\Http;

use PgScheduler\Clock;
use PgScheduler\Exception\ConnectionFailed;

/** One request under way. */
final class Exchange
{
    private const MOST = 64 << 20; // bytes of an answer

    private string $in = '';
    private string $body = '';
    private int $status = 0;
    private bool $whole = true; // the request was sent to its end

    /** @var array<string, string> */
    private array $headers = [];
    private readonly float $deadline;

    /**
     * @param resource                 $stream  not blocking
     * @param float                    $timeout seconds
     * @param \Closure(resource): void $keep    gets the stream when it can serve another request
     */
    public function __construct(public readonly mixed $stream, private readonly float $timeout, private readonly \Closure $keep)
    {
        $this->deadline = Clock::now() + $timeout;
    }

    /**
     * Sends all of it, unless the answer comes before: the body is too large, say.
     *
     * @throws ConnectionFailed
     */
    public function send(string $bytes): void
    {
        for ($at = 0; $at < strlen($bytes); $at += $n) {
            $n = @fwrite($this->stream, $at === 0 ? $bytes : substr($bytes, $at, 1 << 20));
            if ($n > 0) {
                continue;
            }
            $this->whole = $n !== false;
            if ($this->whole) {
                $this->await(true);
                $this->in .= (string) @fread($this->stream, 1 << 16);
                $this->whole = $this->in === '' && !feof($this->stream);
            }
            if (!$this->whole) {
                return;
            }
        }
    }

    /**
     * Reads what has come; null: not all of it yet.
     *
     * @throws ConnectionFailed
     */
    public function pump(): ?Response
    {
        while (($chunk = @fread($this->stream, 1 << 16)) !== false && $chunk !== '') {
            $this->in .= $chunk;
            if (strlen($this->in) + strlen($this->body) > self::MOST) {
                throw new ConnectionFailed('an answer of more than 64 MiB', true);
            }
        }
        $ended = $chunk === false || feof($this->stream);
        if ($this->status === 0 && !$this->head()) {
            return $ended ? throw new ConnectionFailed('the connection was closed before an answer came', true) : $this->expired();
        }
        if (!$this->complete($ended)) {
            return $ended ? throw new ConnectionFailed('the connection was closed within an answer', true) : $this->expired();
        }
        if (!$ended && $this->whole && strtolower($this->headers['connection'] ?? '') !== 'close') {
            ($this->keep)($this->stream);
        } else {
            fclose($this->stream);
        }
        return new Response($this->status, $this->headers, $this->body);
    }

    /**
     * Waits until there is something to read (or room to write, too), or a signal came.
     *
     * @throws ConnectionFailed when the time is over
     */
    public function await(bool $write = false): void
    {
        $this->expired();
        $read = [$this->stream];
        $write = $write ? [$this->stream] : null;
        $none = null;
        @stream_select($read, $write, $none, 0, 200_000);
    }

    private function expired(): ?Response
    {
        if (Clock::now() > $this->deadline) {
            throw new ConnectionFailed("no answer within $this->timeout s", true);
        }
        return null;
    }

    /** Reads the status and the headers, once they are there. */
    private function head(): bool
    {
        $end = strpos($this->in, "\r\n\r\n");
        if ($end === false) {
            return false;
        }
        $lines = explode("\r\n", substr($this->in, 0, $end));
        $this->in = substr($this->in, $end + 4);
        if (preg_match('#\AHTTP/1\.[01] (\d{3})#', $lines[0], $match) !== 1) {
            throw new ConnectionFailed('an answer that is no HTTP', true);
        }
        if ($match[1][0] === '1') { // 100 Continue and the like: the answer is yet to come
            return $this->head();
        }
        $this->status = (int) $match[1];
        foreach (array_slice($lines, 1) as $line) {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            $this->headers[strtolower(trim($name))] = trim($value);
        }
        return true;
    }

    /** Moves what has come into the body, and reports whether that is all of it. */
    private function complete(bool $ended): bool
    {
        if ($this->status === 204 || $this->status === 304) {
            return true;
        }
        if (stripos($this->headers['transfer-encoding'] ?? '', 'chunked') !== false) {
            return $this->unchunk();
        }
        $this->body .= $this->in;
        $this->in = '';
        return isset($this->headers['content-length']) ? strlen($this->body) >= (int) $this->headers['content-length'] : $ended;
    }

    private function unchunk(): bool
    {
        $at = 0;
        while (preg_match('/\G([0-9A-Fa-f]{1,8})[^\r\n]*\r\n/', $this->in, $match, 0, $at) === 1) {
            $size = (int) hexdec($match[1]);
            $from = $at + strlen($match[0]);
            if (strlen($this->in) < $from + $size + 2) {
                break;
            }
            if ($size === 0) { // no server of ours sends trailers
                $this->in = '';
                return true;
            }
            $this->body .= substr($this->in, $from, $size);
            $at = $from + $size + 2;
        }
        $this->in = substr($this->in, $at);
        return false;
    }
}
