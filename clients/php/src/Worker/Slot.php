<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

/** One child, started again whenever it ended, and the task that it runs. @internal */
final class Slot
{
    private const BOOT = 30.0;  // seconds until a child must be ready
    private const END = 5.0;    // seconds until a child that was told to end must have ended
    private const LONGEST = 10.0; // seconds between two starts of a child that keeps ending

    public ?Run $run = null;
    private ?Process $child = null;
    private bool $ready = false;
    private bool $draining = false;
    private bool $drained = false;
    private float $started = 0.0;
    private float $startAt = 0.0;
    private float $killAt = INF;
    private int $tasks = 0;
    private int $crashes = 0; // in a row, none of them after a second task
    private int $boots = 0;

    /**
     * @param list<string>             $command
     * @param \Closure(string): void   $note
     */
    public function __construct(private readonly array $command, private readonly Options $options, private readonly \Closure $note)
    {
    }

    /** It can take a task now. */
    public function free(): bool
    {
        return $this->ready && !$this->draining && $this->run === null && $this->child?->ended === null;
    }

    /** Children in a row that ended before they were ready. */
    public function failures(): int
    {
        return $this->boots;
    }

    /** The child is gone, for good. */
    public function gone(): bool
    {
        return $this->child === null && ($this->draining || $this->drained);
    }

    /** @return list<resource> */
    public function streams(): array
    {
        return $this->child?->streams() ?? [];
    }

    public function memory(): int
    {
        return $this->child?->memory() ?? 0;
    }

    public function take(Leases $leases, string $lease, \stdClass $task, float $renewed): void
    {
        $this->tasks++;
        $this->run = new Run($leases, $this->child ?? throw new \LogicException('no child'), $this->note, $lease, $task, $this->options->ttlMs / 1000, $renewed);
    }

    /** Lets the child finish and end, and starts no other. */
    public function drain(float $now): void
    {
        if ($this->child === null) {
            $this->drained = true;
        } elseif (!$this->drained) {
            $this->drained = true;
            $this->retire($this->child, $now);
        }
    }

    /** The child gets no further task: it is told to end, and is killed when it does not. */
    private function retire(Process $child, float $now): void
    {
        $this->draining = true;
        $child->drain();
        $this->killAt = min($this->killAt, $now + self::END);
    }

    /** Listens to the child, starts and replaces it. */
    public function tick(float $now): void
    {
        if ($this->child === null) {
            $this->start($now);
        } else {
            $this->hear($this->child, $now);
        }
        $this->run?->tick($now);
        if ($this->run?->over() === true) {
            $shot = $this->child !== null && $this->run->signalled($this->child); // it may end at any moment, though it has said how the task ended
            $this->run = null;
            if ($shot) {
                $this->retire($this->child, $now);
            }
        }
        if ($this->free() && $this->worn($now)) {
            $this->retire($this->child, $now);
        }
    }

    private function start(float $now): void
    {
        if ($now >= $this->startAt && !$this->drained) {
            [$this->child, $this->ready, $this->draining] = [new Process($this->command), false, false];
            [$this->started, $this->tasks, $this->killAt] = [$now, 0, $now + self::BOOT];
        }
    }

    private function hear(Process $child, float $now): void
    {
        foreach ($child->read() as [$pipe, $line]) {
            $this->said($pipe, $line);
        }
        if ($child->ended !== null) {
            $this->ended($child->ended, $now);
        } elseif ($now >= $this->killAt) {
            ($this->note)($this->ready ? 'a child did not end in time' : 'a child was not ready in time');
            $child->signal(9);
            $this->killAt = $now + self::END;
        } elseif ($this->draining && $this->killAt === INF) { // it said that it ends
            $this->killAt = $now + self::END;
        }
    }

    /** Seconds until tick() has something to do by itself. */
    public function due(float $now): float
    {
        $own = match (true) {
            $this->child === null => $this->drained ? INF : $this->startAt - $now,
            $this->child->streams() === [] => 0.02, // it is about to end
            default => $this->killAt - $now,
        };
        return max(0.0, min($own, $this->run?->due($now) ?? INF));
    }

    private function said(int $pipe, string $line): void
    {
        if ($pipe === 3) {
            $frame = json_decode($line);
            if (!$frame instanceof \stdClass) {
                ($this->note)('a child sent what is no frame: ' . substr($line, 0, 200));
            } elseif (($frame->op ?? '') === 'ready') {
                [$this->ready, $this->killAt, $this->boots] = [true, $this->draining ? $this->killAt : INF, 0];
            } else {
                if (in_array($frame->op ?? '', ['result', 'error', 'snooze'], true)) { // what was printed without an end of line is the task's too
                    foreach ($this->child?->rest() ?? [] as [$from, $words]) {
                        $this->said($from, $words);
                    }
                }
                $this->run?->frame($frame);
                $this->draining = $this->draining || ($frame->ends ?? false); // no task for one that is about to end
            }
            return;
        }
        if ($this->options->echo || $this->run === null) {
            @fwrite($pipe === 1 && $this->options->echo ? STDOUT : STDERR, "$line\n");
        }
        $this->run?->line($pipe, $line);
    }

    private function ended(string $how, float $now): void
    {
        $this->child = null;
        $this->run?->crashed($how);
        $this->boots += $this->ready ? 0 : 1;
        $clean = $this->draining && $this->run === null;
        $this->crashes = $clean || $this->tasks > 1 ? 0 : $this->crashes + 1;
        if (!$clean) {
            ($this->note)("a child ended: $how");
        }
        $this->startAt = $now + ($this->crashes === 0 ? 0.0 : min(self::LONGEST, 0.1 * 2 ** min($this->crashes - 1, 10)));
        [$this->ready, $this->draining, $this->killAt] = [false, false, INF];
    }

    private function worn(float $now): bool
    {
        $o = $this->options;
        return $this->tasks > 0 && ($o->maxTasks > 0 && $this->tasks >= $o->maxTasks || $o->maxMemoryMb > 0 && $this->memory() > $o->maxMemoryMb << 20)
            || $o->maxSeconds > 0 && $now >= $this->started + $o->maxSeconds;
    }
}
