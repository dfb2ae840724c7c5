<?php

declare(strict_types=1);

namespace PgScheduler\Http;

use PgScheduler\Clock;
use PgScheduler\Exception\ConnectionFailed;

/**
 * HTTP/1.1 on PHP's own sockets, so that a call can be waited for beside other things, and a signal ends a wait: neither is
 * possible with fopen('http://…'). One connection is kept for the next call. No redirects, no proxies, no cookies.
 */
final class Http
{
    private const IDLE = 5.0; // seconds after which a kept connection is not trusted any more

    public readonly string $base;
    private readonly string $socket;
    private readonly string $host;

    /** @var ?array{resource, float, int} a connection for the next call, since when it is kept, and by which process */
    private ?array $kept = null;

    /**
     * @param string $url            as https://jobs.example.org or http://127.0.0.1:8080/below
     * @param float  $connectTimeout seconds, TLS included
     * @param array<string, string> $headers of every request
     *
     * @throws \InvalidArgumentException for what is no http or https URL
     */
    public function __construct(string $url, private readonly float $connectTimeout = 3.0, #[\SensitiveParameter] private readonly array $headers = [])
    {
        $parts = parse_url($url);
        $shown = preg_replace('#//[^/@]*@#', '//…@', $url);
        if (!is_array($parts) || !in_array($parts['scheme'] ?? '', ['http', 'https'], true) || ($parts['host'] ?? '') === '' || isset($parts['query'])) {
            throw new \InvalidArgumentException("$shown is not the URL of a scheduler, as http://127.0.0.1:8080");
        }
        if (isset($parts['user']) || isset($parts['pass'])) {
            throw new \InvalidArgumentException('the URL of a scheduler has no user and password; the token is given by itself');
        }
        $tls = $parts['scheme'] === 'https';
        $this->base = rtrim($url, '/');
        $this->host = $parts['host'] . (isset($parts['port']) ? ":{$parts['port']}" : '');
        $this->socket = ($tls ? 'tls://' : 'tcp://') . $parts['host'] . ':' . ($parts['port'] ?? ($tls ? 443 : 80));
        self::check($headers);
    }

    /**
     * Asks and waits for the answer.
     *
     * @param string                $path    from the first slash after the base URL
     * @param array<string, string> $headers
     * @param float                 $timeout seconds until the whole answer is there
     *
     * @throws ConnectionFailed
     */
    public function request(string $method, string $path, ?string $body = null, array $headers = [], float $timeout = 10.0): Response
    {
        $exchange = $this->start($method, $path, $body, $headers, $timeout);
        while (($response = $exchange->pump()) === null) {
            $exchange->await();
        }
        return $response;
    }

    /**
     * Sends a request and returns at once: pump() it whenever its stream is readable.
     *
     * @param array<string, string> $headers
     *
     * @throws ConnectionFailed
     */
    public function start(string $method, string $path, ?string $body = null, array $headers = [], float $timeout = 10.0): Exchange
    {
        self::check($headers);
        $parts = parse_url($this->base);
        $lines = "$method " . ($parts['path'] ?? '') . "$path HTTP/1.1\r\nHost: $this->host\r\nAccept: application/json\r\n";
        if ($body !== null) {
            $headers += ['Content-Type' => 'application/json'];
        }
        if ($body !== null || $method !== 'GET') {
            $headers += ['Content-Length' => (string) strlen($body ?? '')];
        }
        foreach ($headers + $this->headers as $name => $value) {
            $lines .= "$name: $value\r\n";
        }
        $exchange = new Exchange($this->connect(), $timeout, function ($stream): void {
            $this->kept = [$stream, Clock::now(), (int) getmypid()];
        });
        $exchange->send("$lines\r\n" . ($body ?? ''));
        return $exchange;
    }

    /** What var_dump and the like show: not the token. @return array<string, mixed> */
    public function __debugInfo(): array
    {
        return ['base' => $this->base, 'headers' => array_keys($this->headers)];
    }

    /** @return resource */
    private function connect()
    {
        [$stream, $since, $process] = $this->kept ?? [null, 0.0, 0];
        $this->kept = null;
        if ($stream !== null && $process === getmypid() && Clock::now() - $since < self::IDLE) {
            $readable = [$stream];
            $none = null;
            if (@stream_select($readable, $none, $none, 0) === 0) { // readable: the server closed it
                return $stream;
            }
        }
        $warned = [];
        set_error_handler(static function (int $level, string $message) use (&$warned): bool {
            $warned[] = preg_replace('/\A[a-z_]+\(\): |\s+/', ' ', $message);
            return true;
        });
        try {
            $stream = stream_socket_client($this->socket, $number, $why, $this->connectTimeout);
        } finally {
            restore_error_handler();
        }
        if ($stream === false) { // what is wrong with a certificate only the first warning says
            throw new ConnectionFailed("connect to $this->base: " . ($why !== '' ? $why : trim($warned[0] ?? 'no answer')), false);
        }
        stream_set_blocking($stream, false);
        return $stream;
    }

    /** @param array<string, string> $headers */
    private static function check(#[\SensitiveParameter] array $headers): void
    {
        foreach ($headers as $name => $value) {
            if (preg_match('/\A[A-Za-z0-9-]+\z/', $name) !== 1 || preg_match('/[\x00-\x08\x0A-\x1F\x7F]/', $value) === 1) {
                throw new \InvalidArgumentException("the header $name has a character that no header may have");
            }
        }
    }
}
