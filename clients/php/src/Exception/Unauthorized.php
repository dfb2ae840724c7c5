<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** No token, or a wrong one. */
final class Unauthorized extends ApiException
{
}
