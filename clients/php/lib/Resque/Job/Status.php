<?php

use PgScheduler\Exception\NotFound;
use PgScheduler\Exception\ValidationFailed;

/** How far a job is, by its id. */
class Resque_Job_Status
{
    public const STATUS_WAITING = 1;
    public const STATUS_RUNNING = 2;
    public const STATUS_FAILED = 3;
    public const STATUS_COMPLETE = 4;

    /** @param string $id */
    public function __construct(private $id)
    {
    }

    /** Every job is followed, from its submit until retention removes it. @return bool */
    public function isTracking()
    {
        return $this->get() !== false;
    }

    /**
     * One of the constants. A job that failed and waits for its next attempt is waiting; a cancelled one has failed. False:
     * there is none of that id (any more).
     *
     * @return int|false
     */
    public function get()
    {
        try {
            $state = Resque::backend()->status((string) $this->id);
        } catch (NotFound | ValidationFailed) {
            return false;
        } catch (PDOException $e) {
            if ($e->getCode() === '22P02') { // not an id at all
                return false;
            }
            throw $e;
        }
        return match ($state) {
            'running' => self::STATUS_RUNNING,
            'failed', 'cancelled' => self::STATUS_FAILED,
            'completed' => self::STATUS_COMPLETE,
            default => self::STATUS_WAITING,
        };
    }

    public function __toString(): string
    {
        return 'job:' . $this->id . ':status';
    }
}
