<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

use PgScheduler\Http\Response;

/**
 * The server answered with a problem (RFC 9457). getCode() is its code, of the closed list in docs/problems.md; the subclasses
 * are those that programs tell apart.
 */
class ApiException extends SchedulerException
{
    /**
     * @param int                             $status    the HTTP status
     * @param list<array<string, string>>     $errors    each fault: pointer, parameter or header, and detail
     * @param ?string                         $requestId to find the request in the server's log
     * @param ?string                         $taskId    the task in the way
     * @param ?string                         $state     the state of that task
     * @param ?float                          $retryAfter seconds that the server asks to wait
     */
    final public function __construct(
        string $message,
        string $code,
        public readonly int $status,
        public readonly array $errors = [],
        public readonly ?string $requestId = null,
        public readonly ?string $taskId = null,
        public readonly ?string $state = null,
        public readonly ?float $retryAfter = null,
    ) {
        parent::__construct($message, $code);
    }

    /** The exception for an answer that is no success. A proxy's page instead of a problem has the code `http_502` or so. */
    public static function of(Response $response): self
    {
        $problem = json_decode($response->body, true);
        $problem = is_array($problem) ? $problem : [];
        $code = is_string($problem['code'] ?? null) ? $problem['code'] : "http_$response->status";
        $class = match (true) {
            in_array($code, ['not_found', 'watch_not_found'], true) => NotFound::class,
            $code === 'lease_lost' => LeaseLost::class,
            $code === 'idempotency_key_reused' => KeyReused::class,
            in_array($response->status, [409, 412], true) => Conflict::class,
            in_array($response->status, [401, 403], true) => Unauthorized::class,
            in_array($response->status, [400, 413, 415, 422], true) => ValidationFailed::class,
            in_array($response->status, [429, 502, 503, 504], true) => Unavailable::class,
            default => self::class,
        };
        $to = $response->headers['location'] ?? '';
        if ($response->status < 400 && $to !== '') {
            $code = 'redirected';
            $to = preg_replace('#//[^/@]*@#', '//…@', $to);
            $problem['detail'] = "the server redirects to $to; give the address behind it as url, or SCHEDULER_URL";
        }
        $wait = $response->headers['retry-after'] ?? '';
        return new $class(
            is_string($problem['detail'] ?? null) ? $problem['detail'] : "the server answered with status $response->status",
            $code,
            $response->status,
            is_array($problem['errors'] ?? null) ? $problem['errors'] : [],
            $problem['request_id'] ?? $response->headers['x-request-id'] ?? null,
            $problem['task_id'] ?? null,
            $problem['state'] ?? null,
            is_numeric($wait) ? max(0.0, (float) $wait) : null,
        );
    }
}
