<?php

// Servers that answer what no scheduler should, forks, secrets, and an output that nobody reads.

declare(strict_types=1);

require __DIR__ . '/support.php';

use PgScheduler\Client;
use PgScheduler\Exception\ApiException;
use PgScheduler\Exception\ConnectionFailed;
use PgScheduler\Exception\Unavailable;

// Answers that are none.
$url = server(fn (string $in, int $n): string => match (true) {
    str_contains($in, '/redirect') => answer(301, '', 'Location: https://ann:a-secret@jobs.example.org/v1/tasks'),
    str_contains($in, '/busy') => answer(503, '{}', 'Retry-After: 30'),
    str_contains($in, '/half') => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{\"id\"",
    str_contains($in, '/chunks') => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"n\":\r\n2\r\n$n}\r\n0\r\n\r\n",
    str_contains($in, '/early') => "HTTP/1.1 100 Continue\r\n\r\n" . answer(200, "{\"n\":$n}"),
    default => answer(200, '<html>'),
});
$secret = 'a-very-secret-token';
$client = new Client($url, $secret, retries: 2);
$e = thrown('a redirect', ApiException::class, fn () => $client->task('redirect'));
check('it says where to', [$e->getCode(), str_contains($e->getMessage(), 'jobs.example.org'), str_contains($e->getMessage(), 'a-secret')], ['redirected', true, false]);
$e = thrown('a wait that is too long for a caller', Unavailable::class, fn () => $client->task('busy'));
check('it is told', $e->retryAfter, 30.0);
thrown('no JSON', UnexpectedValueException::class, fn () => $client->task('html'));
check('chunks, on a connection that lived', $client->call('GET', '/chunks')->json(), ['n' => 4]);
check('after a 100', $client->call('GET', '/early')->json(), ['n' => 5]);
thrown('half an answer', ConnectionFailed::class, fn () => (new Client($url, retries: 0, timeout: 1.0))->task('half'));

// Secrets.
ini_set('zend.exception_ignore_args', '0');
foreach ([$secret, "$secret\n"] as $i => $token) {
    try {
        $client = new Client('http://127.0.0.1:1', $token, retries: 0);
        $client->queues();
        check('it throws', false, true);
    } catch (ConnectionFailed | InvalidArgumentException $e) {
        check("the token is nowhere $i", PHP_VERSION_ID >= 80200 && str_contains(print_r([$e->getTrace(), (string) $e, $client], true), $secret), false);
    }
}
check('nor a password', str_contains(thrown('it', InvalidArgumentException::class, fn () => new Client('htp://u:a-secret@x'))->getMessage(), 'a-secret'), false);

// A fork has connections of its own.
$url = server(fn (string $in, int $n, int $port): string => answer(200, "{\"port\":$port}"));
$client = new Client($url);
$port = fn (): int => $client->call('GET', '/')->json()['port'];
$mine = $port();
check('it is kept', $port(), $mine);
$pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
if (pcntl_fork() === 0) {
    fwrite($pair[1], $port() . "\n");
    posix_kill(getmypid(), SIGKILL);
}
$other = (int) fgets($pair[0]);
check('the fork has another', [$other > 0, $other !== $mine], [true, true]);
check('it is still kept', $port(), $mine);

// A worker goes on while what answers is no scheduler, and says so.
$url = server(function (string $in, int $n): string {
    return str_starts_with($in, 'POST /v1/leases ') ? match ($n) {
        1 => '',
        2 => answer(404, '<html>'),
        3 => answer(200, 'null'),
        4 => answer(200, '{"hello": "world"}'),
        default => answer(200, '{"worker": {"state": "stop"}, "leases": []}'),
    } : answer(204, '');
});
$worker = worker('q', ['SCHEDULER_URL' => $url]);
check('stopped', $worker->exit(), 0);
$said = (string) file_get_contents(Program::log());
foreach (['closed before an answer came', 'status 404', 'is no scheduler: null', "what answers at $url is no scheduler", 'the server answers again'] as $words) {
    check("it says $words", str_contains($said, $words), true);
}
$worker = worker('q', ['SCHEDULER_URL' => server(fn (): string => answer(308, '', 'Location: https://jobs.example.org/'))]);
check('a redirect ends it', [$worker->exit(), str_contains((string) file_get_contents(Program::log()), 'redirects to https://jobs.example.org/;')], [1, true]);

// Whoever read its output is gone.
$program = proc_open([PHP_BINARY, __DIR__ . '/app/worker.php'], [['file', '/dev/null', 'r'], ['pipe', 'w'], ['pipe', 'w']], $pipes, null, ['QUEUES' => 'unread', 'SHOW' => '1'] + getenv());
fclose($pipes[1]);
fclose($pipes[2]);
check('it works on', ended(submit('unread', 'many.lines', ['lines' => 100])->id)->state, 'completed');
$last = submit('unread', 'fatal', maxAttempts: 1);
check('and says what nobody hears', ended($last->id)->error['code'], 'fatal_error');
check('and on', ended(submit('unread', 'many.lines', ['lines' => 100])->id)->state, 'completed');
proc_terminate($program);
until('it drained', fn () => !proc_get_status($program)['running']);

done(25);
