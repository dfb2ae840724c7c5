<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

use PgScheduler\Exception\ApiException;
use PgScheduler\Exception\ConnectionFailed;
use PgScheduler\Http\Exchange;
use PgScheduler\Http\Http;
use PgScheduler\Http\Response;
use PgScheduler\Json;

/** The calls of a worker, see docs/guides/http-workers.md. None is repeated here. @internal */
final class Leases
{
    private const PATIENCE = 8.0; // seconds with one call

    public readonly string $worker;
    private readonly Http $http;

    /** @param list<string> $kinds */
    public function __construct(private readonly Options $options, private readonly array $kinds)
    {
        $b = bin2hex(random_bytes(16));
        $b[12] = '4'; // UUID version 4
        $b[16] = '89ab'[hexdec($b[16]) & 3];
        $this->worker = vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split($b, 4));
        $this->http = new Http($options->url, 3.0, ['User-Agent' => 'scheduler-php']
            + ($options->token === null ? [] : ['Authorization' => "Bearer $options->token"]));
    }

    /**
     * Asks for tasks, and returns while the server looks for some.
     *
     * @param list<string> $queues
     * @param list<string> $held   leases that run
     *
     * @throws ConnectionFailed
     */
    public function poll(array $queues, int $most, array $held, int $wait): Exchange
    {
        $worker = ['id' => $this->worker, 'name' => $this->options->name, 'host' => (string) gethostname(), 'pid' => (int) getmypid(),
            'version' => $this->options->version, 'language' => 'php ' . PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION, 'slots' => $this->options->processes];
        $body = ['worker' => $worker, 'queues' => $queues, 'kinds' => $this->kinds, 'max' => $most, 'ttl_ms' => $this->options->ttlMs, 'held' => $held];
        return $this->http->start('POST', '/v1/leases', Json::encode($body), ['Prefer' => "wait=$wait"], $wait + self::PATIENCE);
    }

    /**
     * Objects stay objects: in a payload, {} and [] differ.
     *
     * @throws ApiException also for what is no answer of a scheduler
     */
    public static function answer(Response $response): \stdClass
    {
        if ($response->status < 200 || $response->status > 299) {
            throw ApiException::of($response);
        }
        $answer = json_decode($response->body);
        if (!$answer instanceof \stdClass) {
            throw new ApiException('what answers is no scheduler: ' . substr($response->body, 0, 100), 'no_scheduler', $response->status);
        }
        return $answer;
    }

    /**
     * Keeps the worker and all its leases alive.
     *
     * @param list<string> $held
     *
     * @throws ApiException|ConnectionFailed
     */
    public function heartbeat(array $held, ?int $memory): \stdClass
    {
        return $this->post("/v1/workers/$this->worker/heartbeat", ['leases' => $held] + ($memory === null ? [] : ['memory_bytes' => $memory]));
    }

    /**
     * Reports on one lease.
     *
     * @param string               $verb heartbeat, complete, fail or release
     * @param array<string, mixed> $body
     *
     * @throws ApiException|ConnectionFailed
     */
    public function report(string $lease, string $verb, array $body): \stdClass
    {
        return $this->post('/v1/leases/' . rawurlencode($lease) . "/$verb", $body);
    }

    /**
     * Names of the queues that there are.
     *
     * @return list<string>
     *
     * @throws ApiException|ConnectionFailed
     */
    public function queues(): array
    {
        $page = self::answer($this->http->request('GET', '/v1/queues', null, [], self::PATIENCE));
        return array_map(static fn (\stdClass $queue): string => $queue->name, $page->items ?? []);
    }

    /** Says goodbye: what is still held is handed back. Not heard, the lease runs out by itself. */
    public function bye(): void
    {
        try {
            $this->http->request('DELETE', "/v1/workers/$this->worker", null, [], 3.0);
        } catch (ConnectionFailed) {
        }
    }

    /** @param array<string, mixed> $body */
    private function post(string $path, array $body): \stdClass
    {
        $json = Json::encode($body === [] ? new \stdClass() : $body);
        return self::answer($this->http->request('POST', $path, $json, [], self::PATIENCE));
    }
}
