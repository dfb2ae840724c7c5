<?php

// Enqueues a job: php queue.php [class [seconds [queue]]]

require __DIR__ . '/../../clients/php/src/autoload.php'; // of php-resque this was vendor/autoload.php, and is again with Composer

$id = Resque::enqueue($argv[3] ?? 'default', $argv[1] ?? 'Hello_Job', ['seconds' => (int) ($argv[2] ?? 120)], true);
echo "$id\n";
