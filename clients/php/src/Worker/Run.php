<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

use PgScheduler\Clock;
use PgScheduler\Exception\ApiException;
use PgScheduler\Exception\ConnectionFailed;
use PgScheduler\Exception\LeaseLost;
use PgScheduler\Exception\ValidationFailed;
use PgScheduler\Json;

/** A task under way: what its child says is passed on to its lease. @internal */
final class Run
{
    private const STEP = 0.25;    // seconds between two reports
    private const MOST = 1000;    // log lines of one report
    private const KEPT = 10_000;  // log lines that wait while the server can't be reached
    private const SIZE = 256 << 10; // bytes of log lines in one report
    private const GRACE = 5.0;    // seconds from a cancel to SIGTERM, and on to SIGKILL

    public readonly string $id;
    private readonly float $deadline;
    private ?\stdClass $progress = null;

    /** @var list<array{message: string, stream: string}> */
    private array $logs = [];
    private int $dropped = 0;
    private mixed $checkpoint = null;
    private bool $save = false;
    private float $reported = 0.0;
    private float $retryAt = 0.0;

    /** @var ?array{string, array<string, mixed>} the verb that ends the lease, once the child has said how */
    private ?array $outcome = null;
    private ?string $cancelled = null; // why
    private float $escalate = INF;
    private int $signals = 0;
    private bool $over = false;

    /** @param float $renewed when the lease was renewed last, by Clock */
    public function __construct(
        private readonly Leases $leases,
        private readonly Process $child,
        private readonly \Closure $note,
        public readonly string $lease,
        \stdClass $task,
        private readonly float $ttl,
        public float $renewed,
    ) {
        $this->id = (string) $task->id;
        $this->deadline = isset($task->timeout_ms) ? Clock::now() + $task->timeout_ms / 1000 : INF;
        if (!$child->send(['op' => 'task', 'task' => $task])) { // it has not begun
            $this->outcome = ['release', ['reason' => 'the process that was to run it had ended']];
        }
    }

    /** Nothing is left to be done for it. */
    public function over(): bool
    {
        return $this->over;
    }

    /** This child was sent a signal because the task did not end. */
    public function signalled(Process $child): bool
    {
        return $this->signals > 0 && $this->child === $child;
    }

    /** A line of the child's output. */
    public function line(int $pipe, string $line): void
    {
        $this->keep(rtrim($line, "\r"), $pipe === 1 ? 'stdout' : 'stderr');
    }

    /** A frame of the child. */
    public function frame(\stdClass $f): void
    {
        if ($this->outcome !== null || ($f->id ?? null) !== $this->id) {
            return;
        }
        switch ($f->op ?? '') {
            case 'progress':
                $this->progress = (object) array_filter(['current' => (int) ($f->current ?? 0), 'total' => $f->total ?? null,
                    'message' => $f->message ?? null, 'data' => $f->data ?? null], static fn (mixed $v): bool => $v !== null);
                break;
            case 'log':
                $this->keep((string) ($f->message ?? ''), 'log');
                break;
            case 'checkpoint':
                [$this->checkpoint, $this->save] = [$f->checkpoint ?? null, true];
                break;
            case 'result':
                $this->outcome = ['complete', ['result' => $f->result ?? null]];
                break;
            case 'snooze':
                $this->outcome = ['release', ['delay_ms' => max(0, (int) ($f->delay_ms ?? 0))] + (($f->reason ?? '') === '' ? [] : ['reason' => $f->reason])];
                break;
            case 'error':
                $this->failed((string) ($f->code ?? 'error'), (string) ($f->message ?? ''), $f->stack ?? null,
                    $f->retryable ?? !($f->permanent ?? false), $f->retry_after_ms ?? null);
                break;
        }
    }

    /** The child ended, and the task with it. */
    public function crashed(string $how): void
    {
        if ($this->outcome === null) {
            $this->failed('worker_crashed', "the process that ran the task ended: $how");
        }
    }

    /** Tells the child to end the task: cancelled, timeout, lost or shutdown. */
    public function cancel(string $reason): void
    {
        if ($this->cancelled !== null || $this->over || $this->outcome !== null && $reason !== 'lost') { // how it ended is known
            return;
        }
        $this->cancelled = $reason;
        if ($this->outcome === null) {
            $this->child->send(['op' => 'cancel', 'id' => $this->id, 'reason' => $reason]);
            $this->escalate = Clock::now() + self::GRACE;
        }
    }

    /** Reports what is to be reported, and does what is due. */
    public function tick(float $now): void
    {
        if ($now >= $this->renewed + $this->ttl && $this->cancelled !== 'lost') { // nobody answers: by now it may be another's
            $this->cancelled = null;
            $this->cancel('lost');
        }
        if ($now >= $this->deadline && $this->outcome === null) {
            $this->cancel('timeout');
        }
        if ($now >= $this->escalate && $this->outcome === null) {
            $this->child->signal($this->signals++ === 0 ? 15 : 9);
            $this->escalate = $now + self::GRACE;
        }
        if ($this->cancelled === 'lost') {
            $this->over = $this->outcome !== null;
            return;
        }
        if ($now < $this->retryAt) {
            return;
        }
        if ($this->outcome !== null) {
            $this->finish();
        } elseif ($this->save || ($this->progress !== null || $this->logs !== []) && $now >= $this->reported + self::STEP) {
            $this->report($now);
        }
    }

    /** Seconds until tick() has something to do. */
    public function due(float $now): float
    {
        if ($this->cancelled === 'lost') {
            return $this->outcome !== null ? 0.0 : max(0.0, $this->escalate - $now);
        }
        $report = match (true) {
            $this->save, $this->outcome !== null => 0.0,
            $this->progress !== null, $this->logs !== [] => $this->reported + self::STEP,
            default => INF,
        };
        $limit = $this->outcome !== null ? INF : min($this->escalate, $this->cancelled === null ? $this->deadline : INF);
        return max(0.0, min(max($report, $this->retryAt), $limit, $this->renewed + $this->ttl) - $now);
    }

    /** What the server says of the lease. */
    public function heard(bool $cancelled, float $asked): void
    {
        $this->renewed = max($this->renewed, $asked);
        if ($cancelled) {
            $this->cancel('cancelled');
        }
    }

    private function report(float $now): void
    {
        $this->reported = $now;
        $this->attempt(function () use ($now): void {
            $saving = $this->save;
            $logs = $this->some();
            $body = $this->said($logs) + ($saving ? ['checkpoint' => $this->checkpoint] : []);
            $answer = $this->leases->report($this->lease, 'heartbeat', $body);
            array_splice($this->logs, 0, count($logs));
            $this->progress = null;
            $this->save = false;
            if ($saving) {
                $this->child->send(['op' => 'saved', 'id' => $this->id]);
            }
            $this->heard($answer->cancelled ?? false, $now);
        });
    }

    private function finish(): void
    {
        $this->attempt(function (): void {
            while (count($logs = $this->some()) < count($this->logs)) { // more than fit beside the outcome
                $this->leases->report($this->lease, 'heartbeat', ['logs' => $logs]);
                array_splice($this->logs, 0, count($logs));
            }
            [$verb, $body] = $this->outcome ?? ['release', []];
            if ($this->cancelled === 'shutdown' && $verb === 'fail') {
                [$verb, $body] = ['release', ['reason' => 'the worker ends']];
            }
            $this->leases->report($this->lease, $verb, $body + $this->said($logs));
            $this->over = true;
        });
    }

    /** Tries a call, again later if it is no use now. */
    private function attempt(\Closure $call): void
    {
        try {
            $call();
            $this->retryAt = 0.0;
        } catch (LeaseLost) {
            $this->cancelled = null;
            $this->cancel('lost');
            $this->over = $this->outcome !== null;
        } catch (ConnectionFailed $e) {
            ($this->note)($e->getMessage());
            $this->retryAt = Clock::now() + 0.5 + lcg_value();
        } catch (ApiException $e) {
            $this->refused($e);
        }
    }

    /** What the server does not take will never be taken; an outcome is replaced by one that says so. */
    private function refused(ApiException $e): void
    {
        ($this->note)("task $this->id: {$e->getMessage()} ({$e->getCode()})");
        if (!$e instanceof ValidationFailed) {
            $this->retryAt = Clock::now() + max(0.5 + lcg_value(), min(5.0, $e->retryAfter ?? 0.0));
        } elseif ($this->progress !== null) {
            $this->progress = null; // then it is the rest, or it is not
        } elseif ($this->outcome === null) {
            $this->logs = [];
            if ($this->save) {
                $this->save = false;
                $this->child->send(['op' => 'saved', 'id' => $this->id, 'error' => $e->getMessage()]);
            }
        } elseif ($this->outcome[0] === 'fail' && $this->outcome[1]['error']['code'] === 'bad_result') {
            $this->over = true; // not even that
        } else {
            $this->logs = [];
            $this->failed('bad_result', 'what the handler returned or reported was not taken: ' . $e->getMessage(), null, false);
        }
    }

    private function failed(string $code, string $message, ?string $stack = null, bool $retryable = true, ?int $retryAfter = null): void
    {
        if ($this->cancelled === 'timeout') {
            [$code, $message] = ['timeout', 'the attempt ran longer than its timeout_ms'];
        }
        $error = ['code' => $code, 'message' => $message] + ($stack === null ? [] : ['stack' => $stack]);
        $this->outcome = ['fail', ['error' => $error, 'retryable' => $retryable] + ($retryAfter === null ? [] : ['retry_after_ms' => max(0, $retryAfter)])];
        $this->retryAt = 0.0;
    }

    private function keep(string $message, string $stream): void
    {
        if (count($this->logs) >= self::KEPT) {
            $this->dropped++;
            return;
        }
        if ($this->dropped > 0) {
            $this->logs[] = ['message' => "… $this->dropped lines were dropped: they came faster than they could be stored", 'stream' => 'log'];
            $this->dropped = 0;
        }
        $this->logs[] = ['message' => Json::text(substr($message, 0, 8192)), 'stream' => $stream];
    }

    /** @return list<array{message: string, stream: string}> the first lines, as many as one call takes */
    private function some(): array
    {
        $n = $size = 0;
        while ($n < count($this->logs) && $n < self::MOST && ($size += strlen($this->logs[$n]['message'])) <= self::SIZE) {
            $n++;
        }
        return array_slice($this->logs, 0, $n);
    }

    /**
     * @param list<array{message: string, stream: string}> $logs
     *
     * @return array<string, mixed>
     */
    private function said(array $logs): array
    {
        return ($this->progress === null ? [] : ['progress' => $this->progress]) + ($logs === [] ? [] : ['logs' => $logs]);
    }
}
