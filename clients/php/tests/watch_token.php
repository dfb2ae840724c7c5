<?php

// Holds WatchToken to the vectors that every language reads: php watch_token.php. Exit code 1 and a line for each fault.

declare(strict_types=1);

require __DIR__ . '/../src/WatchToken.php';

use PgScheduler\WatchToken;

$vectors = json_decode(file_get_contents(__DIR__ . '/../../../conformance/watch_tokens.json'), true, 512, JSON_THROW_ON_ERROR);
$failures = $checks = 0;
$check = function (string $name, mixed $got, mixed $want) use (&$failures, &$checks): void {
    $checks++;
    if ($got !== $want) {
        $failures++;
        echo "$name: got ", json_encode($got), ', want ', json_encode($want), "\n";
    }
};
$thrown = function (callable $f): ?string {
    try {
        $f();
    } catch (\Exception $e) {
        return $e->getMessage();
    }
    return null;
};

$keys = array_map('hex2bin', $vectors['keys']);
foreach ($vectors['derived'] as $v) {
    if ($v['secret'] === null) {
        $check("derive from {$v['token']}", $thrown(fn () => WatchToken::derive($v['token'])) !== null, true);
    } else {
        $check("derive from {$v['token']}", bin2hex(WatchToken::derive($v['token'])), $v['secret']);
    }
}
foreach ($vectors['valid'] as $v) {
    $check("mint {$v['name']}", WatchToken::mint($v['key'], $keys[$v['key']], $v['task'], $v['expires_at'], $v['shows']), $v['token']);
    $got = WatchToken::verify($v['token'], $keys, $vectors['now']);
    $check("verify {$v['name']}", $got, ['keyId' => $v['key'], 'taskId' => $v['task'], 'expiresAt' => $v['expires_at'], 'shows' => $v['shows']]);
}
foreach ($vectors['invalid'] as $v) {
    $check("verify {$v['name']}", $thrown(fn () => WatchToken::verify($v['token'], $keys, $vectors['now'])), $v['reason']);
}
foreach ([['', $keys['k1'], $vectors['valid'][0]['task'], 1], ['a b', $keys['k1'], $vectors['valid'][0]['task'], 1],
    ['k1', 'short', $vectors['valid'][0]['task'], 1], ['k1', $keys['k1'], 'no uuid', 1], ['k1', $keys['k1'], $vectors['valid'][0]['task'], -1],
    ['k1', $keys['k1'], $vectors['valid'][0]['task'], 1, ['payload']]] as $i => $bad) {
    $check("bad arguments $i", $thrown(fn () => WatchToken::mint(...$bad)) !== null, true);
}
echo "$checks checks, $failures failures\n";
exit($failures > 0 || $checks < 20 ? 1 : 0);
