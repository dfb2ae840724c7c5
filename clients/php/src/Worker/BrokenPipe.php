<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

/** The process at the other end of a pipe is gone, or does not read. @internal */
final class BrokenPipe extends \RuntimeException
{
}
