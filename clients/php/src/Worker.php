<?php

declare(strict_types=1);

namespace PgScheduler;

use PgScheduler\Worker\Child;
use PgScheduler\Worker\Options;
use PgScheduler\Worker\Supervisor;

/**
 * Runs tasks:
 *
 *     $worker = new Worker(queues: ['mail']);
 *     $worker->handle('mail.send', function (Task $task) { … return ['sent' => true]; });
 *     exit($worker->run());
 *
 * Run by `scheduler worker --cmd 'php worker.php'` it serves that parent. Run by itself it leases over HTTP: then it starts
 * this same script again as a child that runs the handlers, while this process keeps the leases alive, passes on progress and
 * output, and survives whatever a handler does. So what stands before run() is run in both.
 */
final class Worker
{
    /** @var array<string, \Closure(Task): mixed> */
    private array $handlers = [];
    private readonly Options $options;

    /**
     * @param list<string> $queues       taken from in this order; '*': all there are, by name, looked up every few seconds
     * @param int          $processes    children, each running one task at a time
     * @param ?string      $url          of the server; null: SCHEDULER_URL, or http://127.0.0.1:8080
     * @param ?string      $token        null: SCHEDULER_TOKEN, or none
     * @param ?string      $name         shown to people; null: host:pid
     * @param string       $version      of your program, shown to people
     * @param int          $ttlMs        silence after which the server gives the tasks to others, 5000 to 86400000
     * @param int          $waitSeconds  how long one poll waits for a task, 1 to 60
     * @param float        $drainSeconds after SIGTERM, running tasks have so long until they are handed back
     * @param int          $maxTasks     tasks after which a child is replaced by a new one; 0: never
     * @param int          $maxSeconds   age after which it is, between two tasks; 0: never
     * @param int          $maxMemoryMb  resident MiB after which it is, between two tasks; 0: never. Linux only
     * @param bool         $echo         what handlers write is also shown on stdout and stderr
     *
     * The queues and all that follows concern work over HTTP; `scheduler worker --cmd` has flags of its own for them.
     */
    public function __construct(
        array $queues = ['default'],
        int $processes = 1,
        ?string $url = null,
        #[\SensitiveParameter] ?string $token = null,
        ?string $name = null,
        string $version = '',
        int $ttlMs = 15_000,
        int $waitSeconds = 20,
        float $drainSeconds = 30.0,
        int $maxTasks = 0,
        int $maxSeconds = 0,
        int $maxMemoryMb = 0,
        bool $echo = false,
    ) {
        $this->options = new Options($queues, $processes, $url, $token, $name, $version, $ttlMs, $waitSeconds, $drainSeconds, $maxTasks, $maxSeconds, $maxMemoryMb, $echo);
    }

    /**
     * Registers the handler of a kind: a closure, an object with __invoke(Task) or handle(Task), or the name of such a class, of
     * which each task gets a new object. What it returns is the task's result, as JSON.
     *
     * @param callable|object|class-string $handler
     *
     * @throws \InvalidArgumentException for a kind that is taken, or something that is no handler
     */
    public function handle(string $kind, callable|object|string $handler): static
    {
        if (preg_match('#\A[A-Za-z0-9_][A-Za-z0-9_.:/\\\\-]{0,127}\z#', $kind) !== 1) {
            throw new \InvalidArgumentException("a kind is 1 to 128 letters, digits and _ . : / \\ -, not $kind");
        }
        if (isset($this->handlers[$kind])) {
            throw new \InvalidArgumentException("$kind has a handler already");
        }
        $this->handlers[$kind] = match (true) {
            is_callable($handler) => $handler(...),
            is_object($handler) && method_exists($handler, 'handle') => $handler->handle(...),
            is_string($handler) && method_exists($handler, '__invoke') => static fn (Task $task): mixed => (new $handler())($task),
            is_string($handler) && method_exists($handler, 'handle') => static fn (Task $task): mixed => (new $handler())->handle($task),
            default => throw new \InvalidArgumentException("the handler of $kind is neither callable nor has it a method handle"),
        };
        return $this;
    }

    /**
     * Works until it is told to end: by SIGTERM, SIGINT or SIGQUIT (with pcntl), by its parent, or by `scheduler workers stop`.
     *
     * @return int the exit code: 0, or 1 when it could not work
     */
    public function run(): int
    {
        $fd = getenv('SCHEDULER_FD');
        if ($fd !== false && ctype_digit($fd)) {
            return (new Child($this->handlers, (int) $fd))->run();
        }
        return (new Supervisor($this->options, array_map(strval(...), array_keys($this->handlers))))->run();
    }
}
