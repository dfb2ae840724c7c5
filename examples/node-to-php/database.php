<?php

declare(strict_types=1);

/** The consumer's database, of the URL in DATABASE_URL: PDO takes none. */
function database(): PDO
{
    $url = '#\Apostgres(?:ql)?://(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<host>[^:/?]*)(?::(?<port>\d+))?/(?<dbname>[^?]*)(?:\?(?<more>.*))?\z#';
    if (preg_match($url, (string) getenv('DATABASE_URL'), $parts) !== 1) {
        throw new RuntimeException('DATABASE_URL is no postgres://user:password@host:port/name');
    }
    parse_str($parts['more'] ?? '', $more);
    $dsn = [];
    foreach (array_map(rawurldecode(...), array_filter($parts, is_string(...), ARRAY_FILTER_USE_KEY)) as $name => $value) {
        $more += $name === 'more' || $value === '' ? [] : [$name => $value];
    }
    foreach ($more as $name => $value) {
        $dsn[] = "$name='" . addcslashes((string) $value, "'\\") . "'";
    }
    return new PDO('pgsql:' . implode(';', $dsn));
}
