<?php

// Holds Delivery to the vectors that every language reads: php delivery.php. Exit code 1 and a line for each fault.

declare(strict_types=1);

require __DIR__ . '/../src/autoload.php';

use PgScheduler\Delivery;
use PgScheduler\Exception\BadDelivery;

$vectors = json_decode(file_get_contents(__DIR__ . '/../../../conformance/deliveries.json'), true, 512, JSON_THROW_ON_ERROR);
$now = $vectors['now'];
$failures = $checks = 0;
$check = function (string $name, mixed $got, mixed $want) use (&$failures, &$checks): void {
    $checks++;
    if ($got !== $want) {
        $failures++;
        echo "$name: got ", json_encode($got), ', want ', json_encode($want), "\n";
    }
};
$thrown = function (callable $f): string {
    try {
        $f();
    } catch (BadDelivery $e) {
        return $e->getCode();
    } catch (\Throwable $e) {
        return $e::class;
    }
    return '';
};

foreach ($vectors['valid'] as $v) {
    $body = json_decode($v['body'], true);
    $got = Delivery::verify($v['body'], $v['headers'], $v['secrets'], now: $now);
    $check($v['name'], [$got->id, $got->kind, $got->queue, $got->payload, $got->attempt, $got->failures, $got->maxAttempts, $got->priority, $got->runAt, $got->createdAt,
        $got->schedule, $got->tickAt, $got->topic, $got->messageId, $got->checkpoint, $got->completeWithinMs, $got->lease, $got->traceparent],
        [...array_values($body), 'AQ-lease', null]);
    $lists = array_map(static fn (string $value): array => [$value], $v['headers']);
    $check("{$v['name']}, as lists", Delivery::verify($v['body'], $lists, $v['secrets'], now: $now)->id, $body['id']);
}
foreach ($vectors['invalid'] as $v) {
    $check($v['name'], $thrown(fn () => Delivery::verify($v['body'], $v['headers'], $v['secrets'], now: $now)), $v['reason']);
}
$v = $vectors['valid'][0];
foreach ([...$vectors['bad_secrets'], [], [7], [...$v['secrets'], '']] as $bad) {
    $check('no secret: ' . json_encode($bad), $thrown(fn () => Delivery::verify($v['body'], $v['headers'], $bad, now: $now)), InvalidArgumentException::class);
}
$check('a clock that is wrong', $thrown(fn () => Delivery::verify($v['body'], $v['headers'], $v['secrets'], now: $now + 3600)), 'timestamp');
$check('patience', Delivery::verify($v['body'], $v['headers'], $v['secrets'][0], 10 ** 12)->kind, 'mail.send');
$check('a trace', Delivery::verify($v['body'], $v['headers'] + ['traceparent' => '00-x'], $v['secrets'], now: $now)->traceparent, '00-x');
$_SERVER = ['REQUEST_TIME' => 7, 'argv' => []] + $_SERVER;
$check('no request', $thrown(fn () => Delivery::received($v['secrets'])), 'missing');
echo "$checks checks, $failures failures\n";
exit($failures > 0 || $checks < 40 ? 1 : 0);
