<?php

/**
 * What applications listen for: beforeEnqueue and afterEnqueue ($class, $args, $queue, $id), beforeFirstFork, beforeFork and afterFork
 * ($job), beforePerform and afterPerform ($job), onFailure ($exception, $job).
 */
class Resque_Event
{
    /** @var array<string, list<callable>> */
    private static array $listeners = [];

    /**
     * Calls the listeners; an array is spread over their parameters.
     *
     * @param string $event
     * @param mixed  $data
     *
     * @return true
     */
    public static function trigger($event, $data = null)
    {
        foreach (self::$listeners[$event] ?? [] as $listener) {
            $listener(...(is_array($data) ? array_values($data) : [$data]));
        }
        return true;
    }

    /**
     * @param string   $event
     * @param callable $callback
     *
     * @return true
     */
    public static function listen($event, $callback)
    {
        self::$listeners[$event][] = $callback;
        return true;
    }

    /**
     * @param string   $event
     * @param callable $callback
     *
     * @return true
     */
    public static function stopListening($event, $callback)
    {
        self::$listeners[$event] = array_values(array_filter(self::$listeners[$event] ?? [], static fn ($known): bool => $known !== $callback));
        return true;
    }

    public static function clearListeners(): void
    {
        self::$listeners = [];
    }
}
