<?php

use PgScheduler\Resque\Handler;
use PgScheduler\Worker;

/** A worker as php-resque's own scripts start it: new Resque_Worker(['a', 'b']), then work(5). */
class Resque_Worker
{
    /** @param string|list<string> $queues in order; *: all */
    public function __construct(private $queues)
    {
    }

    /**
     * Works until it is told to end, and then ends the process.
     *
     * @param int  $interval  seconds that one look for jobs may wait
     * @param int  $processes jobs at a time
     * @param bool $verbose   what jobs write is also shown here
     */
    public function work($interval = Resque::DEFAULT_INTERVAL, $processes = 1, $verbose = false): never
    {
        $queues = is_array($this->queues) ? array_values($this->queues) : [$this->queues];
        $name = substr(gethostname() . ':' . getmypid() . ':' . implode(',', $queues), 0, 200); // as Resque calls its workers
        $worker = new Worker(queues: $queues, processes: (int) $processes, name: $name, waitSeconds: max(1, min(60, (int) $interval)),
            echo: (bool) $verbose);
        exit($worker->handle(Handler::KIND, new Handler())->run());
    }
}
