<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

use PgScheduler\Failure;
use PgScheduler\Json;
use PgScheduler\Snooze;

/** What an exception of a handler means for its task. @internal */
final class Verdict
{
    /** @return array<string, mixed> as a frame of docs/child.md, without an id: snooze or error */
    public static function of(\Throwable $e): array
    {
        if ($e instanceof Snooze) {
            return ['op' => 'snooze', 'delay_ms' => $e->delayMs, 'reason' => Json::text($e->reason)];
        }
        $class = explode("\0", $e::class)[0]; // of an anonymous class follows where it is
        $frame = ['op' => 'error', 'code' => $class, 'message' => Json::text($e->getMessage()),
            'stack' => Json::text("$class at {$e->getFile()}:{$e->getLine()}\n" . $e->getTraceAsString()), 'retryable' => true];
        for ($cause = $e->getPrevious(); $cause !== null; $cause = $cause->getPrevious()) {
            $frame['stack'] .= Json::text("\ncaused by " . explode("\0", $cause::class)[0] . ": {$cause->getMessage()} at {$cause->getFile()}:{$cause->getLine()}");
        }
        if ($e instanceof Failure) {
            $frame = ['code' => Json::text($e->errorCode ?? 'error'), 'retryable' => $e->retryable] + $frame;
            $frame += $e->retryAfterMs === null ? [] : ['retry_after_ms' => $e->retryAfterMs];
        }
        return $frame;
    }
}
