<?php

// Before the worker of a child: it is told to end before it is ready, and then does not.

if (getenv('SCHEDULER_FD') !== false) {
    touch(getenv('GATE'));
    $read = [STDIN];
    stream_select($read, $none, $none, 600);
    register_shutdown_function(fn () => sleep(600));
}
