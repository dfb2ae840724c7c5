<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/**
 * A request that no `scheduler worker --push` made with one of these secrets, or that is too old: answer 401. getCode() says why:
 * missing (a header), timestamp, signature or body.
 */
final class BadDelivery extends SchedulerException
{
}
