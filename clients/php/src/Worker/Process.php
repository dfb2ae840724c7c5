<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

/** A child that runs handlers, seen from its parent: the pipes to it, and its end. @internal */
final class Process
{
    private const ERR_TAIL = 2000; // bytes of the last words that are kept

    public readonly int $pid;

    /** Set when it is over: how it ended, in words. */
    public ?string $ended = null;

    /** @var resource */
    private $process;

    /** @var array<int, resource> stdin, stdout, stderr and frames, without those that are closed */
    private array $pipes = [];

    /** @var array<int, Frames> */
    private array $lines = [];
    private string $lastWords = '';

    /**
     * @param list<string> $command
     *
     * @throws \RuntimeException when it can't be started
     */
    public function __construct(array $command)
    {
        $pipe = static fn (string $mode): array => ['pipe', $mode];
        $process = proc_open($command, [$pipe('r'), $pipe('w'), $pipe('w'), $pipe('w')], $pipes, null, ['SCHEDULER_FD' => '3'] + getenv());
        if ($process === false) {
            throw new \RuntimeException('start ' . implode(' ', $command));
        }
        $this->process = $process;
        $this->pipes = $pipes;
        $this->pid = proc_get_status($process)['pid'];
        foreach ($pipes as $n => $stream) {
            stream_set_blocking($stream, false);
            $this->lines[$n] = new Frames();
        }
    }

    /**
     * The command that runs this same script again: the options of PHP itself, the script, its arguments. On Linux the child is
     * killed when its parent is.
     *
     * @return list<string>
     *
     * @throws \LogicException when there is no script: php -r, or a pipe
     */
    public static function again(): array
    {
        $script = get_included_files()[0] ?? '';
        if (!is_file($script) || PHP_BINARY === '' || !function_exists('proc_open')) {
            throw new \LogicException('a worker over HTTP starts its script a second time: it needs a script file, and proc_open');
        }
        $argv = $_SERVER['argv'] ?? [$script];
        $all = explode("\0", rtrim((string) @file_get_contents('/proc/self/cmdline'), "\0"));
        $options = count($all) > count($argv) ? array_slice($all, 1, count($all) - count($argv) - 1) : [];
        $command = [PHP_BINARY, ...$options, $script, ...array_slice($argv, 1)];
        $tied = ['setpriv', '--pdeathsig', 'KILL'];
        $null = [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w'], ['file', '/dev/null', 'w']];
        $try = @proc_open([...$tied, 'true'], $null, $none);
        return $try !== false && proc_close($try) === 0 ? [...$tied, ...$command] : $command;
    }

    /** @return list<resource> what to wait for */
    public function streams(): array
    {
        return array_values(array_intersect_key($this->pipes, [1 => 0, 2 => 0, 3 => 0]));
    }

    /**
     * Sends a frame. A child that is gone is noticed by read().
     *
     * @param array<string, mixed> $frame
     *
     * @return bool false: it can't have read all of it
     */
    public function send(array $frame): bool
    {
        try {
            Frames::write($this->pipes[0], $frame);
            return true;
        } catch (BrokenPipe) {
            $this->signal(9);
            return false;
        }
    }

    /**
     * What it said: lines of its output first, for a result ends the task that they belong to.
     *
     * @return list<array{int, string}> pipe (1 stdout, 2 stderr, 3 a frame) and line
     */
    public function read(): array
    {
        $said = $frames = [];
        try {
            $frames = $this->take(3); // first: what was printed before a frame is there by now
        } catch (\LengthException) {
            $this->lastWords = 'it sent a line of more than 16 MiB';
            $this->signal(9);
        }
        foreach ([1, 2] as $n) {
            try {
                array_push($said, ...$this->take($n));
            } catch (\LengthException) {
                $said[] = [$n, substr($this->lines[$n]->rest(), 0, 8192)];
            }
        }
        $status = proc_get_status($this->process);
        if (!$status['running'] && $this->ended === null) {
            array_push($said, ...$this->rest());
            array_push($frames, ...$this->take(3));
            $how = $status['signaled'] ? "killed by signal {$status['termsig']}" : "exit code {$status['exitcode']}";
            if (function_exists('posix_kill')) {
                posix_kill(-$this->pid, 9); // what it started, and left behind in its group
            }
            $this->ended = $how . ($this->lastWords === '' ? '' : ": $this->lastWords");
        }
        return [...$said, ...$frames];
    }

    /** Tells it to finish what runs, and end. */
    public function drain(): void
    {
        $this->send(['op' => 'drain']);
    }

    /** Sends a signal to it and all that it started. */
    public function signal(int $signal): void
    {
        if ($this->ended !== null) {
            return;
        }
        if (!function_exists('posix_kill') || !posix_kill(-$this->pid, $signal)) {
            proc_terminate($this->process, $signal);
        }
    }

    /** Resident bytes; null: not known here. */
    public function memory(): ?int
    {
        $pages = explode(' ', (string) @file_get_contents("/proc/$this->pid/statm"))[1] ?? null;
        return is_numeric($pages) ? (int) $pages * 4096 : null;
    }

    /** @return list<array{int, string}> */
    private function take(int $n): array
    {
        if (!isset($this->pipes[$n])) {
            return [];
        }
        $said = [];
        for ($bytes = 0; $bytes < 1 << 22 && ($chunk = @fread($this->pipes[$n], 1 << 16)) !== false && $chunk !== ''; $bytes += strlen($chunk)) {
            foreach ($this->lines[$n]->lines($chunk) as $line) {
                $said[] = [$n, $line];
                $this->lastWords = $n === 2 ? substr($line, 0, self::ERR_TAIL) : $this->lastWords;
            }
        }
        if (feof($this->pipes[$n])) {
            fclose($this->pipes[$n]);
            unset($this->pipes[$n]);
            if ($n === 3) {
                $this->signal(15); // deaf and mute: of no use any more
            }
        }
        return $said;
    }

    /** @return list<array{int, string}> output without an end of line */
    public function rest(): array
    {
        $said = [];
        foreach ([1, 2] as $n) {
            array_push($said, ...$this->take($n));
            $rest = $this->lines[$n]->rest();
            if ($rest !== '') {
                $said[] = [$n, $rest];
                $this->lastWords = $n === 2 ? substr($rest, 0, self::ERR_TAIL) : $this->lastWords;
            }
        }
        return $said;
    }
}
