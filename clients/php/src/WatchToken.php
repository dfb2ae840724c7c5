<?php

declare(strict_types=1);

namespace PgScheduler;

/**
 * Watch URLs: a browser follows one task at /watch/{token} without an API token. See docs/guides/watch-urls.md.
 *
 *     $key = WatchToken::derive(getenv('SCHEDULER_TOKEN'));
 *     $url = 'https://jobs.example.org/watch/' . WatchToken::mint(WatchToken::DERIVED_ID, $key, $taskId, time() + 86400);
 */
final class WatchToken
{
    /** Id of the key that a server derives from its API token. */
    public const DERIVED_ID = 'd1';

    private const PLAIN = 1;
    private const SHOWING = 2;
    private const SHOWS = ['lines' => 1, 'result' => 2];
    private const LEAST_SECRET = 32;
    private const LEAST_TOKEN = 16;

    /**
     * The key of a server that has an API token and no SCHEDULER_WATCH_KEYS: 32 bytes, its id is DERIVED_ID.
     *
     * @throws \InvalidArgumentException for a token of less than 16 bytes, which a server does not derive from either
     */
    public static function derive(#[\SensitiveParameter] string $apiToken): string
    {
        if (strlen($apiToken) < self::LEAST_TOKEN) {
            throw new \InvalidArgumentException('an API token of less than 16 bytes is too short to derive a key from');
        }
        return hash_hkdf('sha256', $apiToken, self::LEAST_SECRET, 'scheduler watch v1', '');
    }

    /**
     * A token for one task.
     *
     * @param string $secret    raw bytes, at least 32; of SCHEDULER_WATCH_KEYS the part behind the colon, base64-decoded
     * @param string $taskId    a UUID
     * @param int    $expiresAt Unix seconds
     * @param list<'lines'|'result'> $shows what it shows besides how far the task is and how it ended: the log, the result
     *
     * @throws \InvalidArgumentException for what no server takes
     */
    public static function mint(string $keyId, #[\SensitiveParameter] string $secret, string $taskId, int $expiresAt, array $shows = []): string
    {
        if (preg_match('/\A[A-Za-z0-9_-]{1,32}\z/', $keyId) !== 1) {
            throw new \InvalidArgumentException('the id of a watch key is 1 to 32 letters, digits, _ and -');
        }
        if (strlen($secret) < self::LEAST_SECRET) {
            throw new \InvalidArgumentException('the secret of a watch key has at least 32 bytes');
        }
        if (preg_match('/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/i', $taskId) !== 1) {
            throw new \InvalidArgumentException('the id of a task is a UUID');
        }
        if ($expiresAt < 0) {
            throw new \InvalidArgumentException('the time to expire is in seconds since 1970');
        }
        $shown = 0;
        foreach ($shows as $show) {
            $shown |= self::SHOWS[$show] ?? throw new \InvalidArgumentException("a watch token shows lines and result, not $show");
        }
        $signed = pack('CC', $shown === 0 ? self::PLAIN : self::SHOWING, strlen($keyId)) . $keyId . hex2bin(str_replace('-', '', $taskId))
            . pack('J', $expiresAt) . ($shown === 0 ? '' : chr($shown));
        return self::encode($signed . hash_hmac('sha256', $signed, $secret, true));
    }

    /**
     * What a token stands for.
     *
     * @param array<string, string> $keys secrets by key id
     *
     * @return array{keyId: string, taskId: string, expiresAt: int, shows: list<'lines'|'result'>}
     *
     * @throws \DomainException whose message is malformed, version, key, signature or expired
     */
    public static function verify(string $token, #[\SensitiveParameter] array $keys, ?int $now = null): array
    {
        $bytes = base64_decode(strtr($token, '-_', '+/'), true);
        if ($bytes === false || strlen($bytes) < 2 || self::encode($bytes) !== $token) {
            throw new \DomainException('malformed');
        }
        $signs = match (ord($bytes[0])) {
            self::PLAIN => 24,
            self::SHOWING => 25,
            default => throw new \DomainException('version'),
        };
        $n = 2 + ord($bytes[1]);
        $signs += $n;
        if (strlen($bytes) !== $signs + 32) {
            throw new \DomainException('malformed');
        }
        $keyId = substr($bytes, 2, $n - 2);
        if (!isset($keys[$keyId])) {
            throw new \DomainException('key');
        }
        [$signed, $mac] = [substr($bytes, 0, $signs), substr($bytes, $signs)];
        if (!hash_equals(hash_hmac('sha256', $signed, $keys[$keyId], true), $mac)) {
            throw new \DomainException('signature');
        }
        $shown = $signs - $n === 25 ? ord($signed[$n + 24]) : null;
        if ($shown === 0 || $shown > 3) {
            throw new \DomainException('malformed');
        }
        $expiresAt = unpack('J', substr($signed, $n + 16, 8))[1];
        if ($expiresAt >= 0 && $expiresAt <= ($now ?? time())) { // beyond 2^63 it is negative, and far away
            throw new \DomainException('expired');
        }
        $taskId = vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex(substr($signed, $n, 16)), 4));
        return ['keyId' => $keyId, 'taskId' => $taskId, 'expiresAt' => $expiresAt,
            'shows' => array_keys(array_filter(self::SHOWS, static fn (int $bit): bool => (((int) $shown) & $bit) !== 0))];
    }

    private static function encode(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}
