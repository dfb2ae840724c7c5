<?php

// Job classes as a php-resque application has them: nothing in here knows of the scheduler.

class Hello_Job
{
    public function perform()
    {
        for ($i = 0; $i < 3; $i++) {
            echo "Hello!\n";
        }
        fwrite(STDOUT, 'Hello ' . $this->args['name'] . " of {$this->queue}\n");
    }
}

class Steps_Job
{
    public $args;
    public $queue;
    public $job;

    public static $seen = [];

    public function setUp()
    {
        self::$seen[] = 'setUp';
    }

    public function perform()
    {
        self::$seen[] = 'perform';
        return self::$seen;
    }

    public function tearDown()
    {
        self::$seen[] = 'tearDown';
        echo implode(',', self::$seen), "\n";
    }
}

class Failing_Job
{
    public function perform()
    {
        throw new DomainException('žluť ' . $this->args['why']);
    }
}

class Exit_Job
{
    public function perform()
    {
        exit((int) $this->args['code']);
    }
}

class Killed_Job
{
    public function perform()
    {
        posix_kill(getmypid(), SIGKILL);
    }
}

class Fatal_Job
{
    public function perform()
    {
        ini_set('memory_limit', '32M');
        str_repeat('x', 1 << 30);
    }
}

class Refused_Job
{
    public function setUp()
    {
        throw new Resque_Job_DontPerform();
    }

    public function perform()
    {
        echo "must not be seen\n";
    }
}

class Sleeping_Job
{
    public function perform()
    {
        echo "sleeps\n";
        sleep($this->args['seconds']); // of a job whose process no signal disturbs
    }
}

class Waiting_Job
{
    public function perform()
    {
        echo "waits\n";
        while (!file_exists($this->args['file'])) {
            usleep(20_000);
        }
    }
}

class Lasting_Job
{
    public function perform()
    {
        echo getmypid(), ' ', posix_getppid(), "\n";
        sleep(600);
    }
}

class Progress_Job implements Resque_JobInterface
{
    public function perform()
    {
        $this->job->task->progress(1, 2, 'half way');
    }
}

class No_Job
{
}

Resque_Event::listen('onFailure', function (Throwable $e, Resque_Job $job): void {
    echo 'onFailure: ', get_class($e), " of {$job->payload['class']}\n";
});
Resque_Event::listen('afterPerform', function (Resque_Job $job): void {
    echo "afterPerform\n";
});
