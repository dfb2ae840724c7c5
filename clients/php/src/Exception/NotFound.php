<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** There is no such task, worker or path. */
final class NotFound extends ApiException
{
}
