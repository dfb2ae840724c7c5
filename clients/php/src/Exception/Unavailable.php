<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** The server, or its database, can't serve now: what was asked for may or may not be done. */
final class Unavailable extends ApiException
{
}
