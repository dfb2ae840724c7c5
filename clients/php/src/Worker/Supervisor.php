<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

use PgScheduler\Clock;
use PgScheduler\Exception\ApiException;
use PgScheduler\Exception\SchedulerException;
use PgScheduler\Exception\Unauthorized;
use PgScheduler\Exception\ValidationFailed;
use PgScheduler\Http\Exchange;

/**
 * The parent of a worker over HTTP. PHP has no threads, and a handler that sleeps or waits for a database must keep its lease:
 * so handlers run in children, and this process does nothing but wait, for the server and for them.
 *
 *     server ◄── HTTP: poll, heartbeat, complete … ── Supervisor ── Slot ── frames, output ──► Child (handlers)
 *
 * @internal
 */
final class Supervisor
{
    private const BOOTS = 5;       // children in a row that do not come up, until it gives up
    private const LOOK = 5.0;      // seconds between two looks at the queues that there are

    private readonly Leases $leases;

    /** @var list<Slot> */
    private array $slots = [];

    /** @var array<string, array{\stdClass, float}> tasks without a child yet, and since when, by lease */
    private array $given = [];
    private ?Exchange $poll = null;
    private float $pollAt = 0.0;
    private float $polledAt = 0.0;
    private float $shortUntil = 0.0; // polls end early: the next one tells which leases never came here
    private int $troubles = 0;
    private float $beatAt = 0.0;
    private string $state = 'run'; // what the server wants: run, quiet or stop
    private bool $paused = false;  // what a signal wants
    private float $drainBy = INF;  // when running tasks are handed back
    private bool $draining = false;
    private int $code = 0;

    /** @var list<string> */
    private array $queues;
    private float $lookAt = 0.0;
    private string $noted = '';

    /** @param list<string> $kinds */
    public function __construct(private readonly Options $options, array $kinds)
    {
        if ($kinds === [] || count($kinds) > 500) {
            throw new \LogicException('a worker has 1 to 500 handlers');
        }
        $this->leases = new Leases($options, $kinds);
        $this->queues = $options->queues;
        for ($command = Process::again(); count($this->slots) < $options->processes;) {
            $this->slots[] = new Slot($command, $options, $this->note(...));
        }
    }

    /** Works until it is told to end. Returns the exit code. */
    public function run(): int
    {
        $this->signals();
        while (!$this->draining || !$this->idle()) {
            $this->hearAll();
            $this->assign(Clock::now());
            $this->poll();
            $this->beat();
            $this->watch();
            $this->wait();
        }
        $this->poll = null; // a task in an answer that nobody reads is handed back with the rest
        while (array_filter($this->slots, static fn (Slot $slot): bool => !$slot->gone()) !== []) {
            foreach ($this->slots as $slot) {
                $slot->drain(Clock::now());
                $slot->tick(Clock::now());
            }
            $this->wait();
        }
        $this->leases->bye();
        return $this->code;
    }

    private function signals(): void
    {
        if (!function_exists('pcntl_async_signals')) {
            return;
        }
        pcntl_async_signals(true);
        foreach ([SIGTERM, SIGINT, SIGQUIT] as $signal) {
            pcntl_signal($signal, function (): void { // the second time, no more patience
                $this->drainBy = $this->draining && $this->drainBy < INF ? 0.0 : Clock::now() + $this->options->drainSeconds;
                $this->draining = true;
            });
        }
        pcntl_signal(SIGUSR2, fn () => $this->paused = true);
        pcntl_signal(SIGCONT, fn () => $this->paused = false);
    }

    private function idle(): bool
    {
        return $this->held() === [];
    }

    /** @return list<string> the leases that run, or are about to */
    private function held(): array
    {
        $runs = array_filter(array_map(static fn (Slot $slot): ?Run => $slot->run, $this->slots));
        return [...array_map(static fn (Run $run): string => $run->lease, array_values($runs)), ...array_map(strval(...), array_keys($this->given))];
    }

    private function hearAll(): void
    {
        foreach ($this->slots as $slot) {
            $slot->tick(Clock::now());
            if ($slot->failures() >= self::BOOTS) {
                $this->note('no child comes up; see above why');
                [$this->draining, $this->code] = [true, 1];
            }
        }
    }

    /** Asks for as many tasks as there are free children, or reads the answer. */
    private function poll(): void
    {
        $now = Clock::now();
        try {
            if ($this->poll !== null) {
                $response = $this->poll->pump();
                if ($response !== null) {
                    $this->poll = null;
                    $this->answered(Leases::answer($response), $now);
                }
                return;
            }
            $free = count(array_filter($this->slots, static fn (Slot $slot): bool => $slot->free())) - count($this->given);
            if ($free <= 0 || $this->draining || $this->paused || $now < $this->pollAt) {
                return;
            }
            $queues = $this->queues($now);
            $this->polledAt = $now;
            $wait = $this->all() || $now < $this->shortUntil ? min((int) self::LOOK, $this->options->waitSeconds) : $this->options->waitSeconds;
            $this->poll = $this->leases->poll($queues, $free, $this->held(), $wait);
        } catch (SchedulerException $e) {
            $this->poll = null;
            $this->trouble($e, $now);
        }
    }

    private function answered(\stdClass $answer, float $now): void
    {
        if (!isset($answer->worker->state) || !is_array($answer->leases ?? null)) {
            throw new SchedulerException("what answers at {$this->options->url} is no scheduler", 'no_scheduler');
        }
        if ($this->troubles > 0) {
            $this->note('the server answers again');
        }
        $this->troubles = 0;
        $this->noted = '';
        if ($answer->leases === []) {
            $this->pollAt = $now + max(0.0, 0.25 - ($now - $this->polledAt)); // some proxies do not wait
        }
        foreach ($answer->leases as $lease) {
            $this->given[$lease->lease] = [$lease->task, $now];
        }
        $this->assign($now);
        $this->told($answer->worker->state); // after that: what the same answer gives is done
        if ($this->state === 'quiet') {
            $this->pollAt = $now + min(2.0, $this->options->ttlMs / 3000);
        }
    }

    /** Gives tasks to free children, none any more while it drains. One whose child ended meanwhile waits for the next, not for long. */
    private function assign(float $now): void
    {
        foreach ($this->given as $lease => [$task, $since]) {
            foreach ($this->draining ? [] : $this->slots as $slot) {
                if ($slot->free()) {
                    $slot->take($this->leases, $lease, $task, $since);
                    unset($this->given[$lease]);
                    continue 2;
                }
            }
            if ($this->draining || $now > $since + self::LOOK / 2) {
                unset($this->given[$lease]);
                try {
                    $this->leases->report($lease, 'release', []);
                } catch (SchedulerException) { // it runs out by itself
                }
            }
        }
    }

    /** Keeps the leases that run; while none does, polls are enough. */
    private function beat(): void
    {
        $now = Clock::now();
        $held = $this->held();
        if ($now < $this->beatAt || $held === [] && !$this->paused) {
            return;
        }
        $this->beatAt = $now + $this->options->ttlMs / 3000;
        try {
            $memory = array_sum(array_map(static fn (Slot $slot): int => $slot->memory(), $this->slots)) + memory_get_usage(true);
            $answer = $this->leases->heartbeat($held, (int) $memory);
        } catch (SchedulerException $e) {
            $this->note($e->getMessage());
            $this->beatAt = Clock::now() + 1.0;
            return;
        }
        $this->told($answer->state ?? 'run');
        foreach ($this->slots as $slot) {
            if ($slot->run === null || !in_array($slot->run->lease, $held, true)) {
                continue;
            }
            if (in_array($slot->run->lease, $answer->lost ?? [], true)) {
                $slot->run->cancel('lost');
            } else {
                $slot->run->heard(in_array($slot->run->lease, $answer->cancelled ?? [], true), $now);
            }
        }
    }

    private function told(string $state): void
    {
        $this->state = $state;
        $this->draining = $this->draining || $state === 'stop';
    }

    /** Hands back what still runs when the patience with a drain is over. */
    private function watch(): void
    {
        if ($this->draining && Clock::now() >= $this->drainBy) {
            foreach ($this->slots as $slot) {
                $slot->run?->cancel('shutdown');
            }
        }
    }

    private function wait(): void
    {
        $now = Clock::now();
        $read = $this->poll === null ? [] : [$this->poll->stream];
        $until = min($this->beatAt > $now ? $this->beatAt - $now : 1.0, $this->pollAt > $now ? $this->pollAt - $now : 1.0, 1.0);
        foreach ($this->slots as $slot) {
            array_push($read, ...$slot->streams());
            $until = min($until, $slot->due($now));
        }
        if ($read === []) {
            usleep((int) (1e6 * max(0.005, $until)));
            return;
        }
        $none = null;
        @stream_select($read, $none, $none, 0, (int) (1e6 * min(0.99, max(0.0, $until)))); // a signal ends it
    }

    private function all(): bool
    {
        return in_array('*', $this->options->queues, true);
    }

    /**
     * The queues to ask for: those that were given, and where * stands among them, all others. More than a call takes come in turns.
     *
     * @return list<string>
     */
    private function queues(float $now): array
    {
        if (!$this->all()) {
            return $this->queues;
        }
        if ($now >= $this->lookAt) {
            $given = array_diff($this->options->queues, ['*']);
            $found = array_diff($this->leases->queues(), $given);
            sort($found);
            $at = (int) array_search('*', $this->options->queues, true);
            $this->queues = [...array_slice($given, 0, $at), ...$found, ...array_slice($given, $at)] ?: ['default'];
            $this->lookAt = $now + self::LOOK;
        }
        if (count($this->queues) <= 64) {
            return $this->queues;
        }
        $turn = array_slice($this->queues, 0, 64);
        $this->queues = [...array_slice($this->queues, 64), ...$turn];
        return $turn;
    }

    private function trouble(SchedulerException $e, float $now): void
    {
        $said = $e->getMessage();
        $this->note(str_contains($said, $this->options->url) ? $said : ($e instanceof ApiException ? "{$this->options->url} says: $said" : "{$this->options->url}: $said"));
        if ($e instanceof Unauthorized || $e instanceof ValidationFailed || $e->getCode() === 'redirected') { // will not get better
            [$this->draining, $this->code] = [true, 1];
        }
        $this->shortUntil = $now + 20.0;
        $wait = min(5.0, 0.25 * 2 ** min($this->troubles++, 6));
        $this->pollAt = $now + max($wait * (0.5 + lcg_value() / 2), min(30.0, $e instanceof ApiException ? $e->retryAfter ?? 0.0 : 0.0));
    }

    /** Says something to people, not the same again and again. */
    private function note(string $what): void
    {
        if ($what !== $this->noted) {
            $this->noted = $what;
            @fwrite(STDERR, date('c') . " scheduler worker {$this->options->name}: $what\n");
        }
    }
}
