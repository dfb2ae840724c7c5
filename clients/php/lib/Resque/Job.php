<?php

use PgScheduler\Task;

/** A job: a class, its arguments, and the task that it came in. */
class Resque_Job
{
    /** The task that a worker runs; null elsewhere. `$this->job->task->progress(…)` in a job reports progress. */
    public ?Task $task = null;

    /** What perform() of the class returned. */
    public mixed $result = null;

    private ?object $instance = null;

    /**
     * @param string $queue
     * @param array{id?: string, class: string, args: array} $payload args: a list of the one array
     */
    public function __construct(public $queue, public $payload)
    {
    }

    /** @return array */
    public function getArguments()
    {
        return $this->payload['args'][0] ?? [];
    }

    /** @return int|false of Resque_Job_Status */
    public function getStatus()
    {
        return (new Resque_Job_Status($this->payload['id'] ?? ''))->get();
    }

    /**
     * The object of the class that was asked for.
     *
     * @throws Resque_Exception when it is no job
     */
    public function getInstance(): object
    {
        if ($this->instance !== null) {
            return $this->instance;
        }
        $class = $this->payload['class'];
        if (!class_exists($class)) {
            throw new Resque_Exception("Could not find job class $class.");
        }
        if (!method_exists($class, 'perform')) {
            throw new Resque_Exception("Job class $class does not contain a perform method.");
        }
        $this->instance = new $class();
        $level = error_reporting(error_reporting() & ~E_DEPRECATED); // classes that do not declare them have them all the same
        $this->instance->job = $this;
        $this->instance->args = $this->getArguments();
        $this->instance->queue = $this->queue;
        error_reporting($level);
        return $this->instance;
    }

    /**
     * Runs setUp(), perform() and tearDown(). False: Resque_Job_DontPerform was thrown, which is no failure.
     *
     * @return bool
     */
    public function perform()
    {
        try {
            Resque_Event::trigger('beforePerform', $this);
            $instance = $this->getInstance();
            if (method_exists($instance, 'setUp')) {
                $instance->setUp();
            }
            $this->result = $instance->perform();
            if (method_exists($instance, 'tearDown')) {
                $instance->tearDown();
            }
            Resque_Event::trigger('afterPerform', $this);
        } catch (Resque_Job_DontPerform) {
            return false;
        }
        return true;
    }

    public function __toString(): string
    {
        return 'Job{' . $this->queue . '} | ID: ' . ($this->payload['id'] ?? '') . ' | ' . $this->payload['class'] . ' | ' . json_encode($this->payload['args']);
    }
}
