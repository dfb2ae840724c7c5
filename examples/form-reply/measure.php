<?php

// How long POST /orders takes while nothing waits, and while 200 tasks do: make measure. Medians of rounds in turns.

declare(strict_types=1);

require __DIR__ . '/app.php';

use PgScheduler\Client;

const ROUNDS = 7, ORDERS = 50, QUEUED = 200;
$page = 'http://127.0.0.1:' . (getenv('PORT') ?: 8000);
$client = new Client('http://127.0.0.1:' . (getenv('API_PORT') ?: 8080), getenv('SCHEDULER_TOKEN') ?: null);

$call = function (string $path, array $options = []) use ($page): array {
    $text = file_get_contents($page . $path, false, stream_context_create(['http' => $options + ['timeout' => 60]]));
    return json_decode((string) $text, true, flags: JSON_THROW_ON_ERROR);
};
$order = fn (): array => $call('/orders', ['method' => 'POST', 'header' => 'Content-Type: application/x-www-form-urlencoded',
    'content' => http_build_query(['email' => 'ann@example.org', 'item' => 'clock', 'quantity' => 1])]);
$waits = function () use ($client): int {
    $queue = array_column($client->queues(), null, 'name')['orders'] ?? ['ready' => 0, 'running' => 0];
    return $queue['ready'] + $queue['running'];
};
$measured = function (bool $alone) use ($order, $call): array {
    for ($took = []; count($took) < ORDERS;) {
        $start = hrtime(true);
        $answer = $order();
        $took[] = (hrtime(true) - $start) / 1e6;
        while ($alone && !$call($answer['poll'], ['header' => 'Prefer: wait=20'])['done']) {
        }
    }
    return $took;
};

for ($tries = 600; @file_get_contents("$page/") === false; usleep(100_000)) {
    $tries-- > 0 || exit("nothing answers on $page\n");
}
$measured(true); // warm
$took = ['none' => [], 'all' => []];
for ($round = 1; $round <= ROUNDS; $round++) {
    $took['none'][] = $measured(true);
    while (($before = $waits()) < QUEUED) {
        for ($i = 0; $i < 50; $i++) {
            $order();
        }
    }
    $took['all'][] = $measured(false);
    fwrite(STDERR, "round $round: $before tasks waited before the measured orders, {$waits()} after them\n");
    while ($waits() > 0) {
        usleep(200_000);
    }
}

$quantile = function (array $list, float $p): float {
    sort($list);
    return $list[(int) ceil($p * count($list)) - 1];
};
echo "| While | orders | p50 ms | p95 ms |\n|---|---:|---:|---:|\n";
foreach (['none' => 'no task waits', 'all' => QUEUED . ' tasks wait, two consumers are busy'] as $key => $while) {
    $at = fn (float $p): string => number_format($quantile(array_map(fn (array $round): float => $quantile($round, $p), $took[$key]), 0.5), 1);
    echo "| $while | ", ROUNDS * ORDERS, ' | ', $at(0.5), ' | ', $at(0.95), " |\n";
}
