<?php

declare(strict_types=1);

namespace PgScheduler;

use PgScheduler\Exception\ApiException;
use PgScheduler\Exception\CircuitOpen;
use PgScheduler\Exception\ConnectionFailed;
use PgScheduler\Exception\Unavailable;
use PgScheduler\Http\Breaker;
use PgScheduler\Http\Http;
use PgScheduler\Http\Response;

/**
 * The scheduler over HTTP. To submit inside your own transaction, see Database.
 *
 *     $client = Client::fromEnvironment();
 *     $task = $client->submit(new NewTask('mail.send', ['to' => 'ann@example.org']));
 *
 * Every method throws ApiException for a problem that the server answers with (its subclasses tell them apart),
 * ConnectionFailed when there is no answer, and CircuitOpen, a ConnectionFailed, when none came lately. Calls that may be
 * repeated are, when the connection breaks or the server can't serve, after waits of 0.1 s to 2 s; that is all of them but a
 * retry, and a submitMany without keys, of which it is unknown whether they arrived.
 */
final class Client
{
    private const LONGEST_WAIT = 5.0; // seconds that the server may ask to wait before a repetition

    public readonly string $url;
    private readonly Http $http;
    private readonly Breaker $breaker;

    /**
     * @param string  $url             of the server, as http://127.0.0.1:8080
     * @param ?string $token           of the API; null: it needs none
     * @param float   $connectTimeout  seconds
     * @param float   $timeout         seconds until the whole answer is there; what a call is told to wait comes on top
     * @param int     $retries         how often a call is repeated; 0: never
     * @param int     $breakerFailures calls in a row without an answer after which none is made for a while; 0: never
     * @param float   $breakerPause    seconds of that while
     *
     * @throws \InvalidArgumentException for what is no URL
     */
    public function __construct(
        string $url,
        #[\SensitiveParameter] ?string $token = null,
        float $connectTimeout = 3.0,
        private readonly float $timeout = 10.0,
        private readonly int $retries = 3,
        int $breakerFailures = 5,
        float $breakerPause = 10.0,
    ) {
        $headers = ['User-Agent' => 'scheduler-php'] + ($token === null || $token === '' ? [] : ['Authorization' => "Bearer $token"]);
        $this->http = new Http($url, $connectTimeout, $headers);
        $this->url = $this->http->base;
        $this->breaker = new Breaker($breakerFailures, $breakerPause);
    }

    /** A client of SCHEDULER_URL (http://127.0.0.1:8080 when not set) and SCHEDULER_TOKEN. */
    public static function fromEnvironment(): self
    {
        return new self(getenv('SCHEDULER_URL') ?: 'http://127.0.0.1:8080', getenv('SCHEDULER_TOKEN') ?: null);
    }

    /**
     * Submits a task, and returns it once it is durable.
     *
     * @param ?string $requestId   X-Request-ID: the idempotency key when the task has none. null: a random one, so that the call can be repeated
     * @param int     $waitSeconds 1 to 60: the finished task, if it ends in time. 0: at once
     * @param ?int    $watchTtlMs  1000 to 2592000000: $watchUrl of the answer lets a browser follow the task for so long. null: none
     * @param list<'lines'|'result'> $watchShows what it shows besides how far the task is and how it ended
     * @param ?string $traceparent W3C trace context that the task belongs to. null: none
     *
     * @throws \JsonException for a payload that JSON has no form for
     */
    public function submit(NewTask $task, ?string $requestId = null, int $waitSeconds = 0, ?int $watchTtlMs = null, array $watchShows = [], ?string $traceparent = null): TaskInfo
    {
        $body = $task->fields() + ($watchTtlMs === null ? [] : ['watch' => true, 'watch_ttl_ms' => $watchTtlMs, 'watch_shows' => $watchShows]);
        $headers = self::headers($requestId, $traceparent);
        return $this->info($this->call('POST', '/v1/tasks', $body, $headers, true, $waitSeconds));
    }

    /**
     * Submits 1 to 10,000 tasks, all or none. The call is repeated after a lost answer only when every task has an idempotency key.
     *
     * @param list<NewTask> $tasks
     *
     * @return list<array{id: string, queue: string, state: string, run_at: string, created_at: string, replayed: bool, existing: bool}> in order
     *
     * @throws \JsonException for a payload that JSON has no form for
     */
    public function submitMany(array $tasks): array
    {
        $safe = !in_array(null, array_map(static fn (NewTask $t): ?string => $t->idempotencyKey, $tasks), true);
        $bodies = array_map(static fn (NewTask $t): array => $t->fields(), array_values($tasks));
        return $this->call('POST', '/v1/tasks/batch', $bodies, [], $safe)->json()['items'];
    }

    /**
     * A task as it is now.
     *
     * @param int $waitSeconds 1 to 60: answer once it is done, at the latest after so long. 0: at once
     */
    public function task(string $id, int $waitSeconds = 0): TaskInfo
    {
        return $this->info($this->call('GET', self::path($id), null, [], true, $waitSeconds));
    }

    /** Only the state of a task: blocked, scheduled, ready, running, completed, failed or cancelled. */
    public function status(string $id): string
    {
        return $this->task($id)->state;
    }

    /**
     * Tasks, newest first. A page may hold fewer than the limit, or none, though there are more: only a null nextCursor is the end.
     *
     * @param ?int $limit 1 to 500; null: 50
     *
     * @return Page<TaskInfo>
     */
    public function tasks(?string $state = null, ?string $queue = null, ?string $kind = null, ?string $tag = null, ?int $limit = null, ?string $cursor = null): Page
    {
        $query = http_build_query(['state' => $state, 'queue' => $queue, 'kind' => $kind, 'tag' => $tag, 'limit' => $limit, 'cursor' => $cursor]);
        $page = $this->call('GET', '/v1/tasks' . ($query === '' ? '' : "?$query"))->json();
        return new Page(array_map(fn (array $task): TaskInfo => TaskInfo::of($task, $this->url), $page['items']), $page['next_cursor']);
    }

    /** Cancels a task: one that does not run at once; one that runs is told to stop, and may still complete. */
    public function cancel(string $id, ?string $reason = null): TaskInfo
    {
        return $this->info($this->call('POST', self::path($id, '/cancel'), ['reason' => $reason ?? '']));
    }

    /** Brings a failed or cancelled task back, ready at once. */
    public function retry(string $id): TaskInfo
    {
        return $this->info($this->call('POST', self::path($id, '/retry'), null, [], false));
    }

    /**
     * Why a task does not run, what to mend first on top.
     *
     * @return list<array{code: string, reason: string, fix: ?string}>
     */
    public function why(string $id): array
    {
        return $this->call('GET', self::path($id, '/why'))->json()['items'];
    }

    /**
     * Lines that the handlers of a task wrote.
     *
     * @param int $after only lines with a greater id
     * @param int $limit 1 to 1000
     *
     * @return list<array{id: int, attempt: int, at: string, stream: string, message: string}>
     */
    public function logs(string $id, int $after = 0, int $limit = 200): array
    {
        return $this->call('GET', self::path($id, "/logs?after=$after&limit=$limit"))->json()['items'];
    }

    /**
     * A URL under which a browser may follow the task without a token. WatchToken makes one without asking the server.
     *
     * @param int $ttlMs how long it is valid, 1000 to 2592000000
     * @param list<'lines'|'result'> $shows what it shows besides how far the task is and how it ended: the log, the result
     */
    public function watchUrl(string $id, int $ttlMs = 86_400_000, array $shows = []): string
    {
        return $this->url . $this->call('POST', self::path($id, '/watch'), ['ttl_ms' => $ttlMs, 'shows' => $shows])->json()['url'];
    }

    /**
     * Publishes to a topic: one task for each subscription that matches, and an event for who listens.
     *
     * @param string  $topic     words with dots between them, as order.created
     * @param ?string $requestId   X-Request-ID, the idempotency key. null: a random one, so that the call can be repeated
     * @param ?string $traceparent W3C trace context that its tasks belong to. null: none
     *
     * @return array{id: string, topic: string, published_at: string, tasks: list<array{id: string, subscription: string, queue: string, kind: string}>}
     *
     * @throws \JsonException for a payload that JSON has no form for
     */
    public function publish(string $topic, mixed $payload = new \stdClass(), ?string $requestId = null, ?string $traceparent = null): array
    {
        $headers = self::headers($requestId, $traceparent);
        return $this->call('POST', '/v1/topics/' . rawurlencode($topic) . '/publish', ['payload' => $payload], $headers)->json();
    }

    /**
     * Queues with their counts.
     *
     * @return list<array<string, mixed>> name, paused, ready, scheduled, running, failed, workers, slots, …
     */
    public function queues(): array
    {
        return $this->call('GET', '/v1/queues')->json()['items'];
    }

    /**
     * Worker processes, oldest first.
     *
     * @return list<array<string, mixed>> id, name, host, pid, queues, kinds, slots, running, command, live, …
     */
    public function workers(): array
    {
        return $this->call('GET', '/v1/workers')->json()['items'];
    }

    /**
     * Tells a worker what to do.
     *
     * @param string $command quiet: finish what runs and take nothing more. run: work again. stop: finish what runs and end
     */
    public function command(string $worker, string $command): void
    {
        if (!in_array($command, ['quiet', 'run', 'stop'], true)) {
            throw new \InvalidArgumentException('a worker is told quiet, run or stop');
        }
        $this->call('POST', '/v1/workers/' . rawurlencode($worker) . "/$command");
    }

    /**
     * The right to end an attempt that came as a Delivery and was answered by 202.
     *
     * @throws \InvalidArgumentException for an empty token
     */
    public function lease(string $token): Lease
    {
        return new Lease($this, $token);
    }

    /**
     * One call, for what has no method here.
     *
     * @param mixed                 $body        sent as JSON; null: none
     * @param array<string, string> $headers
     * @param bool                  $repeat      it does no harm twice
     * @param int                   $waitSeconds 1 to 60: asks the server to wait for the end of the task
     *
     * @throws ApiException|ConnectionFailed
     * @throws \JsonException for a body that JSON has no form for
     */
    public function call(string $method, string $path, mixed $body = null, array $headers = [], bool $repeat = true, int $waitSeconds = 0): Response
    {
        $json = $body === null ? null : Json::encode($body);
        if ($waitSeconds > 0) {
            $headers['Prefer'] = 'wait=' . min(60, $waitSeconds);
        }
        for ($try = 0;; $try++) {
            try {
                return $this->once($method, $path, $json, $headers, $this->timeout + min(60, $waitSeconds));
            } catch (CircuitOpen $e) {
                throw $e;
            } catch (ConnectionFailed $e) {
                if ($try >= $this->retries || $e->sent && !$repeat) {
                    throw $e;
                }
            } catch (Unavailable $e) {
                if ($try >= $this->retries || !$repeat || $e->retryAfter > self::LONGEST_WAIT) { // the caller knows better what to do so long
                    throw $e;
                }
            }
            $wait = lcg_value() * min(2.0, 0.1 * 2 ** $try);
            usleep((int) (1e6 * max($wait, $e instanceof Unavailable ? $e->retryAfter ?? 0.0 : 0.0)));
        }
    }

    /** @param array<string, string> $headers */
    private function once(string $method, string $path, ?string $json, array $headers, float $timeout): Response
    {
        $this->breaker->pass();
        try {
            $response = $this->http->request($method, $path, $json, $headers, $timeout);
        } catch (ConnectionFailed $e) {
            $this->breaker->failed();
            throw $e;
        }
        if ($response->status >= 200 && $response->status < 300) {
            $this->breaker->succeeded();
            return $response;
        }
        $problem = ApiException::of($response);
        if ($problem instanceof Unavailable && $response->status !== 429) {
            $this->breaker->failed();
        } else {
            $this->breaker->succeeded();
        }
        throw $problem;
    }

    private function info(Response $response): TaskInfo
    {
        return TaskInfo::of($response->json(), $this->url);
    }

    /** @return array<string, string> */
    private static function headers(?string $requestId, ?string $traceparent): array
    {
        return ['X-Request-ID' => $requestId ?? bin2hex(random_bytes(16))] + ($traceparent === null ? [] : ['traceparent' => $traceparent]);
    }

    private static function path(string $id, string $more = ''): string
    {
        return '/v1/tasks/' . rawurlencode($id) . $more;
    }
}
