<?php

// Follows a job until it ends: php check-status.php ID

require __DIR__ . '/../../clients/php/src/autoload.php';

$names = [
    Resque_Job_Status::STATUS_WAITING => 'waiting',
    Resque_Job_Status::STATUS_RUNNING => 'running',
    Resque_Job_Status::STATUS_FAILED => 'failed',
    Resque_Job_Status::STATUS_COMPLETE => 'complete',
];
$status = new Resque_Job_Status($argv[1] ?? '');
if (!$status->isTracking()) {
    echo "there is no such job\n";
    exit(1);
}
for ($last = null; !in_array($last, [Resque_Job_Status::STATUS_FAILED, Resque_Job_Status::STATUS_COMPLETE], true); usleep(250_000)) {
    $now = $status->get();
    if ($now !== $last) {
        echo "$now $names[$now]\n";
    }
    $last = $now;
}
exit($last === Resque_Job_Status::STATUS_COMPLETE ? 0 : 1);
