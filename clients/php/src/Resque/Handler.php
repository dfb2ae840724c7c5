<?php

declare(strict_types=1);

namespace PgScheduler\Resque;

use PgScheduler\Cancelled;
use PgScheduler\Failure;
use PgScheduler\Permanent;
use PgScheduler\Snooze;
use PgScheduler\Task;

/**
 * The handler of the kind `resque`: runs job classes as php-resque does, each job in a process forked for it (with pcntl), so
 * that what a job does to its process (exit, memory, connections, statics) does not reach the next.
 *
 * All classes share one kind, for a worker names the kinds that it can run when it asks for tasks, and a Resque worker can't:
 * its classes are loaded when a job comes. The class is in the payload, `{"class": "Hello", "args": {…}}`, and a tag of the task.
 */
final class Handler
{
    public const KIND = 'resque';

    private bool $first = true;
    private ?int $status = null; // of the fork that ended
    private ?Guard $guard = null;

    /** @param ?bool $fork null: when pcntl is there */
    public function __construct(private ?bool $fork = null)
    {
        $this->fork ??= function_exists('pcntl_fork');
    }

    public function __invoke(Task $task): mixed
    {
        $payload = is_array($task->payload) ? $task->payload : [];
        if (!is_string($payload['class'] ?? null)) {
            throw new Permanent('the payload names no class: it is {"class": "Hello", "args": {…}}', 'bad_payload');
        }
        $args = $payload['args'] ?? [];
        $job = new \Resque_Job($task->queue, ['id' => $task->id, 'class' => $payload['class'], 'args' => [is_array($args) ? $args : [$args]]]);
        $job->task = $task;
        if ($this->fork !== true) {
            return $this->perform($job);
        }
        if ($this->first) {
            $this->first = false;
            $this->guard = Guard::start();
            \Resque_Event::trigger('beforeFirstFork', null);
        }
        \Resque_Event::trigger('beforeFork', $job);
        return $this->forked($job, $task);
    }

    private function perform(\Resque_Job $job): mixed
    {
        try {
            $performed = $job->perform();
            return $performed === false ? ['performed' => false] : self::plain($job->result);
        } catch (Cancelled | Snooze $e) {
            throw $e;
        } catch (\Throwable $e) {
            \Resque_Event::trigger('onFailure', ['exception' => $e, 'job' => $job]);
            throw $e;
        }
    }

    private function forked(\Resque_Job $job, Task $task): mixed
    {
        $pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        $pid = $pair === false ? -1 : pcntl_fork();
        if ($pid === -1) {
            throw new \RuntimeException('fork failed');
        }
        if ($pid === 0) {
            fclose($pair[0]);
            $this->guard?->leave();
            foreach ([SIGTERM, SIGINT, SIGQUIT] as $signal) {
                pcntl_signal($signal, SIG_DFL);
            }
            $this->alone($job, $pair[1]);
            exit(0);
        }
        $this->guard?->job($pid);
        fclose($pair[1]);
        stream_set_blocking($pair[0], false);
        $said = '';
        $this->status = null;
        try {
            $said = $this->listen($pair[0], $task, $pid);
        } finally {
            $status = $this->reap($pid);
            $this->guard?->job(0);
        }
        $answer = json_decode($said, true);
        if (is_array($answer) && isset($answer['ok'])) {
            return $answer['result'];
        }
        $task->check();
        if (is_array($answer) && isset($answer['snooze'])) {
            throw new Snooze($answer['snooze'], $answer['reason']);
        }
        if (is_array($answer) && isset($answer['code'])) {
            $before = isset($answer['stack']) ? new \RuntimeException($answer['stack']) : null;
            throw new Failure($answer['message'], $answer['code'], $answer['retryable'], $answer['retry_after_ms'], $before);
        }
        $how = pcntl_wifsignaled($status) ? 'killed by signal ' . pcntl_wtermsig($status) : 'exit code ' . pcntl_wexitstatus($status);
        $dirty = new \Resque_Job_DirtyExit("Job exited before perform() ended: $how");
        \Resque_Event::trigger('onFailure', ['exception' => $dirty, 'job' => $job]);
        throw $dirty;
    }

    /**
     * In the fork.
     *
     * @param resource $out
     */
    private function alone(\Resque_Job $job, $out): void
    {
        \Resque_Event::trigger('afterFork', $job);
        try {
            $answer = ['ok' => true, 'result' => $this->perform($job)];
        } catch (Snooze $e) {
            $answer = ['snooze' => $e->delayMs, 'reason' => $e->reason];
        } catch (\Throwable $e) {
            $answer = ['code' => $e instanceof Failure ? $e->errorCode ?? 'error' : explode("\0", $e::class)[0], 'message' => $e->getMessage(),
                'stack' => "at {$e->getFile()}:{$e->getLine()}\n" . $e->getTraceAsString(),
                'retryable' => !$e instanceof Failure || $e->retryable, 'retry_after_ms' => $e instanceof Failure ? $e->retryAfterMs : null];
        }
        $json = (string) json_encode($answer, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR);
        for ($at = 0; $at < strlen($json) && ($n = fwrite($out, substr($json, $at))) !== false; $at += $n) {
        }
    }

    /**
     * Waits for what the fork says at its end, and tells it to end when the task is cancelled.
     *
     * @param resource $in
     */
    private function listen($in, Task $task, int $pid): string
    {
        for ($said = '', $told = false; !feof($in);) {
            $read = [$in];
            $none = null;
            if (@stream_select($read, $none, $none, 0, 250_000) === 1) {
                $said .= fread($in, 1 << 16);
            }
            if (!$told && $task->cancelled()) {
                $told = posix_kill($pid, SIGTERM);
            }
            if (pcntl_waitpid($pid, $status, WNOHANG) === $pid) { // its own children may hold the socket open
                $this->status = $status;
                $said .= stream_get_contents($in, 1 << 24) ?: '';
                break;
            }
        }
        return $said;
    }

    /** Waits 5 s for the end of the fork, then ends it. Returns its status. */
    private function reap(int $pid): int
    {
        if ($this->status !== null) {
            return $this->status;
        }
        for ($tries = 0; pcntl_waitpid($pid, $status, WNOHANG) === 0; $tries++) {
            if ($tries >= 1000) {
                posix_kill($pid, SIGKILL);
            }
            usleep(5000);
        }
        return $status;
    }

    /** What a job returns was never looked at, so that what JSON has no form for is no error. */
    private static function plain(mixed $result): mixed
    {
        try {
            json_encode($result, JSON_THROW_ON_ERROR);
            return $result;
        } catch (\JsonException) {
            return null;
        }
    }
}
