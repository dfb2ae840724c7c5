<?php

declare(strict_types=1);

namespace PgScheduler\Exception;

/** The idempotency key came before with another request; $taskId is its task. */
final class KeyReused extends ApiException
{
}
