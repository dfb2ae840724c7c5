<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

use PgScheduler\Cancelled;
use PgScheduler\Failure;
use PgScheduler\Json;
use PgScheduler\Task;

/**
 * Runs handlers, one task at a time, for a parent that leases them: frames on stdin and on descriptor SCHEDULER_FD, see
 * docs/child.md. The parent is `scheduler worker --cmd`, or Supervisor.
 *
 * @internal
 */
final class Child
{
    private readonly Frames $frames;

    /** @var resource */
    private $out;

    /** @var list<\stdClass> */
    private array $given = [];      // tasks to run
    private ?string $open = null;   // id of the task that runs
    private ?string $cancel = null; // why it must end
    private bool $saved = false;      // the last checkpoint was answered
    private ?string $refusal = null;  // with this
    private bool $draining = false;
    private int $inside = 0;        // in code that no signal may leave by an exception
    private bool $handling = false; // in a handler
    private bool $interrupt = false;
    private ?string $reserve;       // memory to speak with when there is none left
    private int $pid;

    /** @param array<string, \Closure(Task): mixed> $handlers by kind */
    public function __construct(private readonly array $handlers, int $fd)
    {
        $out = @fopen("php://fd/$fd", 'w');
        if ($out === false) {
            throw new \RuntimeException("SCHEDULER_FD is $fd, and there is no such descriptor");
        }
        $this->out = $out;
        $this->frames = new Frames();
    }

    /** Serves until it is told to drain, or stdin ends. Returns the exit code. */
    public function run(): int
    {
        $this->pid = (int) getmypid();
        $this->reserve = str_repeat('x', 256 << 10);
        putenv('SCHEDULER_FD'); // is not for programs that handlers start
        unset($_ENV['SCHEDULER_FD'], $_SERVER['SCHEDULER_FD']);
        if (function_exists('posix_setsid')) {
            @posix_setsid(); // Ctrl-C is for the parent
        }
        if (function_exists('pcntl_async_signals')) {
            pcntl_async_signals(true);
            foreach ([SIGTERM, SIGINT, SIGQUIT] as $signal) {
                pcntl_signal($signal, $this->signalled(...));
            }
        }
        register_shutdown_function($this->shutdown(...));
        stream_set_blocking(STDIN, false);
        try {
            $this->write(['op' => 'ready', 'v' => 1, 'kinds' => array_map(strval(...), array_keys($this->handlers)), 'slots' => 1,
                'language' => 'php ' . PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION]);
            for ($last = false; !$last;) {
                $last = $this->draining; // it may have been told by a signal, and given a task before that
                $this->read($last ? 0.0 : 1.0);
                while (($task = array_shift($this->given)) !== null) {
                    $this->work($task);
                }
            }
        } catch (BrokenPipe) {
            return 1;
        }
        return 0;
    }

    /**
     * Tells the parent something about the task that runs.
     *
     * @param array<string, mixed> $frame
     *
     * @throws Cancelled when the attempt is lost
     */
    public function say(array $frame): void
    {
        $this->guarded(function () use ($frame): void {
            $this->write($frame);
            $this->read(0.0);
        });
        if ($this->cancel === 'lost') {
            throw new Cancelled('lost');
        }
    }

    /** @throws Cancelled|Failure when it is not stored */
    public function save(string $id, mixed $value): void
    {
        if (getmypid() !== $this->pid) {
            throw new \LogicException('a process that the handler forked can not wait for a checkpoint');
        }
        [$this->saved, $this->refusal] = [false, null];
        $this->say(['op' => 'checkpoint', 'id' => $id, 'checkpoint' => $value]);
        while (!$this->saved) {
            $this->guarded(fn () => $this->read(1.0));
            if ($this->cancel === 'lost' || $this->draining && !$this->saved && feof(STDIN)) {
                throw new Cancelled('lost');
            }
        }
        if ($this->refusal !== null) {
            throw new Failure("the checkpoint was not stored: $this->refusal", 'bad_checkpoint');
        }
    }

    /** Why the task that runs must end; null: it need not. */
    public function cancelled(): ?string
    {
        $this->guarded(fn () => $this->read(0.0));
        return $this->cancel;
    }

    /** Runs code that a signal must not leave half done; then what the signal wanted. */
    private function guarded(\Closure $f): void
    {
        $this->inside++;
        try {
            $f();
        } catch (BrokenPipe) {
            [$this->cancel, $this->draining] = ['lost', true];
        } finally {
            $this->inside--;
        }
        if ($this->interrupt && $this->inside === 0) {
            $this->interrupted();
        }
    }

    /** SIGTERM after a cancel ends the handler wherever it is; any other is a wish to drain. */
    private function signalled(int $signal): void
    {
        if (getmypid() !== $this->pid) { // a process that a handler forked
            exit(128 + $signal);
        }
        $this->draining = true; // after a cancel too: who knows what the handler left half done, a new process is better
        if ($this->inside > 0) {
            $this->interrupt = true;
            return;
        }
        if ($this->open !== null) {
            $this->inside++;
            $this->read(0.0);
            $this->inside--;
        }
        $this->interrupted();
    }

    /** Does what a signal wants, all that came before it being read. */
    private function interrupted(): void
    {
        $this->interrupt = false;
        if ($this->handling && $this->cancel !== null) {
            $this->handling = false; // once is enough: the next may come when this one is already being reported
            throw new Cancelled($this->cancel);
        }
    }

    /** Waits so many seconds for something to read, and does what it says. */
    private function read(float $seconds): void
    {
        if (getmypid() !== $this->pid) { // stdin is for the process that a handler forked this one from
            return;
        }
        $read = [STDIN];
        $none = null;
        if (@stream_select($read, $none, $none, (int) $seconds, 0) !== 1) {
            return;
        }
        $bytes = (string) @fread(STDIN, 1 << 20);
        foreach ($this->frames->lines($bytes) as $line) {
            $frame = $line === '' ? null : json_decode($line);
            if ($frame instanceof \stdClass) {
                $this->obey($frame);
            }
        }
        if ($bytes === '' && feof(STDIN)) {
            $this->draining = true;
        }
    }

    private function obey(\stdClass $frame): void
    {
        switch ($frame->op ?? '') {
            case 'task':
                $this->given[] = $frame->task;
                break;
            case 'cancel':
                if (($frame->id ?? null) === $this->open) {
                    $this->cancel = (string) ($frame->reason ?? 'cancelled');
                }
                foreach ($this->given as $task) { // told before it began
                    $task->cancelled = $task->id === ($frame->id ?? null) ? (string) ($frame->reason ?? 'cancelled') : $task->cancelled ?? null;
                }
                break;
            case 'saved':
                if (($frame->id ?? null) === $this->open) {
                    [$this->saved, $this->refusal] = [true, $frame->error ?? null];
                }
                break;
            case 'drain':
                $this->draining = true;
                break;
        }
    }

    private function work(\stdClass $task): void
    {
        [$this->open, $this->cancel, $this->interrupt] = [(string) $task->id, $task->cancelled ?? null, false];
        $buffers = ob_get_level();
        try {
            $handler = $this->handlers[$task->kind] ?? throw new Failure("no handler for $task->kind", 'unknown_kind');
            $context = new Task($this, $task);
            $this->handling = true;
            $answer = ['op' => 'result', 'result' => $handler($context)];
            $this->handling = false;
        } catch (\Throwable $e) {
            $this->handling = false;
            $answer = Verdict::of($e);
        }
        while (ob_get_level() > $buffers) { // what the handler left open
            ob_end_flush();
        }
        $this->inside++;
        try {
            $this->finish($answer);
        } finally {
            $this->inside--;
            [$this->open, $this->cancel, $this->interrupt] = [null, null, false];
        }
    }

    /**
     * Ends the task that runs. A result that can't be sent fails it for good: its work is done, and would be done again.
     *
     * @param array<string, mixed> $answer
     */
    private function finish(array $answer): void
    {
        $more = ['id' => $this->open] + ($this->draining ? ['ends' => true] : []);
        try {
            $this->write($answer + $more);
        } catch (\JsonException | \LengthException $e) {
            $this->write(['op' => 'error', 'code' => 'bad_result', 'retryable' => false, 'message' => 'the result can not be sent: ' . $e->getMessage()] + $more);
        } catch (BrokenPipe) {
            $this->draining = true; // nobody is left to be told
        }
    }

    /** @param array<string, mixed> $frame */
    private function write(array $frame): void
    {
        $this->inside++;
        try {
            Frames::write($this->out, $frame);
        } finally {
            $this->inside--;
        }
    }

    /** The process ends: says why, when that is in the middle of a task, once all that others want at the end is done. */
    private function shutdown(): void
    {
        $this->reserve = null;
        if ($this->open !== null && getmypid() === $this->pid) {
            register_shutdown_function($this->lastWords(...), error_get_last());
        }
    }

    /** @param ?array{type: int, message: string, file: string, line: int} $error the last one */
    private function lastWords(?array $error): void
    {
        while (ob_get_level() > 0 && @ob_end_flush()) {
        }
        $fatal = $error !== null && ($error['type'] & (E_ERROR | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_PARSE | E_RECOVERABLE_ERROR)) !== 0;
        $message = $fatal ? Json::text(substr($error['message'], 0, 4000)) : 'the handler ended the process with exit or die';
        $code = match (true) {
            !$fatal => 'exit',
            str_starts_with($message, 'Allowed memory size'), str_starts_with($message, 'Out of memory') => 'out_of_memory',
            default => 'fatal_error',
        };
        $answer = ['op' => 'error', 'code' => $code, 'message' => $message, 'retryable' => true, 'ends' => true];
        $this->finish($answer + ($fatal ? ['stack' => Json::text("{$error['file']}:{$error['line']}")] : []));
        if (function_exists('posix_kill')) {
            posix_kill($this->pid, 9); // at once: or the parent sends the next task into this end
        }
    }
}
