<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** The attempt is over by somebody else's doing: nothing of it counts any more. */
final class LeaseLost extends ApiException
{
}
