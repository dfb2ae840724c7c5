<?php

declare(strict_types=1);

namespace PgScheduler\Resque;

/**
 * Sees to it that no job outlives the process that forked it, however that ends: a shell that waits for the end of a pipe, and
 * then kills the process group. The pipe ends with the process, for forks let go of it.
 *
 * @internal
 */
final class Guard
{
    private const SCRIPT = 'trap "" HUP INT QUIT TERM; exec 3>&-; read -r _ || kill -9 "-$1"';

    /** @var ?resource */
    private $pipe = null;

    /** @var ?resource kept, for its end would wait for the shell */
    private $process = null;
    private int $job = 0; // that runs

    private function __construct(private readonly int $pid)
    {
    }

    /** null: this process leads no group that could be killed. */
    public static function start(): ?self
    {
        $pid = getmypid();
        if (!function_exists('posix_getpgrp') || posix_getpgrp() !== $pid) {
            return null;
        }
        $guard = new self($pid);
        $null = ['file', '/dev/null', 'w'];
        $process = @proc_open(['/bin/sh', '-c', self::SCRIPT, 'sh', (string) $pid], [['pipe', 'r'], $null, $null], $pipes);
        if ($process === false) {
            return null;
        }
        [$guard->process, $guard->pipe] = [$process, $pipes[0]];
        register_shutdown_function($guard->end(...));
        return $guard;
    }

    /** A job runs in the fork $pid; 0: none does any more. */
    public function job(int $pid): void
    {
        $this->job = $pid;
    }

    /** In a fork. */
    public function leave(): void
    {
        fclose($this->pipe);
        $this->pipe = null;
    }

    /** The process ends by itself: what earlier jobs left in the background on purpose lives on. */
    private function end(): void
    {
        if (getmypid() !== $this->pid || $this->pipe === null) {
            return;
        }
        if ($this->job > 0) {
            posix_kill($this->job, SIGKILL);
        }
        fwrite($this->pipe, "\n");
        $this->leave();
    }
}
