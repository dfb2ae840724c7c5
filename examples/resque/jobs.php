<?php

// Jobs as they are for php-resque. Nothing in here knows what runs them.

class Hello_Job
{
    public $args;

    public function setUp()
    {
        echo "setUp\n";
    }

    public function perform()
    {
        sleep($this->args['seconds']);
        fwrite(STDOUT, "Hello!\n");
    }

    public function tearDown()
    {
        echo "tearDown\n";
    }
}

class Failing_Job
{
    public function perform()
    {
        throw new Exception('Unable to run this job!');
    }
}
