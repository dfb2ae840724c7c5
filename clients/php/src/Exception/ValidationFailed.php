<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** The request breaks a rule; $errors has each fault. */
final class ValidationFailed extends ApiException
{
}
