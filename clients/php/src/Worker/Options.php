<?php

declare(strict_types=1);

namespace PgScheduler\Worker;

/** Of a worker over HTTP; see the constructor of Worker. @internal */
final class Options
{
    public readonly string $url;
    public readonly ?string $token;
    public readonly string $name;

    /** @param list<string> $queues */
    public function __construct(
        public readonly array $queues,
        public readonly int $processes,
        ?string $url,
        #[\SensitiveParameter] ?string $token,
        ?string $name,
        public readonly string $version,
        public readonly int $ttlMs,
        public readonly int $waitSeconds,
        public readonly float $drainSeconds,
        public readonly int $maxTasks,
        public readonly int $maxSeconds,
        public readonly int $maxMemoryMb,
        public readonly bool $echo,
    ) {
        $this->url = $url ?? (getenv('SCHEDULER_URL') ?: 'http://127.0.0.1:8080');
        $this->token = $token ?? (getenv('SCHEDULER_TOKEN') ?: null);
        $this->name = $name ?? gethostname() . ':' . getmypid();
        $this->check($queues !== [] && count($queues) <= 64, 'queues', '1 to 64');
        $this->check($processes >= 1 && $processes <= 500, 'processes', '1 to 500');
        $this->check($ttlMs >= 5000 && $ttlMs <= 86_400_000, 'ttlMs', '5000 to 86400000');
        $this->check($waitSeconds >= 1 && $waitSeconds <= 60, 'waitSeconds', '1 to 60');
        $this->check(min($drainSeconds, $maxTasks, $maxSeconds, $maxMemoryMb) >= 0, 'drainSeconds, maxTasks, maxSeconds or maxMemoryMb', 'not negative');
    }

    /** What var_dump and the like show: not the token. @return array<string, mixed> */
    public function __debugInfo(): array
    {
        return ['token' => $this->token === null ? null : '…'] + get_object_vars($this);
    }

    private function check(bool $good, string $name, string $rule): void
    {
        if (!$good) {
            throw new \InvalidArgumentException("bad $name of a worker: $rule");
        }
    }
}
