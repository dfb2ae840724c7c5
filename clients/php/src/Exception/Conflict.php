<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** The state of the task does not allow it, or another task holds its unique key. */
final class Conflict extends ApiException
{
}
