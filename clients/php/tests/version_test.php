<?php

// The package runs on PHP 8.1, which may not be the PHP at hand: nothing that came with a later one may be in it. Its own tokenizer
// finds syntax, names of classes and functions; a method that is too new it does not find.

declare(strict_types=1);

require __DIR__ . '/support.php';

const LATER_FUNCTIONS = ['curl_upkeep', 'ini_parse_quantity', 'libxml_get_external_entity_loader', 'memory_reset_peak_usage', 'mysqli_execute_query',
    'openssl_cipher_key_length', 'json_validate', 'mb_str_pad', 'str_increment', 'str_decrement', 'stream_context_set_options', 'posix_sysconf',
    'posix_pathconf', 'posix_fpathconf', 'posix_eaccess', 'socket_atmark', 'array_find', 'array_find_key', 'array_any', 'array_all', 'mb_trim',
    'mb_ltrim', 'mb_rtrim', 'mb_ucfirst', 'mb_lcfirst', 'fpow', 'bcfloor', 'bcceil', 'bcround', 'bcdivmod', 'http_get_last_response_headers',
    'http_clear_last_response_headers', 'request_parse_body', 'grapheme_str_split', 'pcntl_getcpu', 'pcntl_getcpuaffinity', 'pcntl_setcpuaffinity',
    'pcntl_setns', 'pcntl_waitid', 'array_first', 'array_last', 'get_error_handler', 'get_exception_handler'];

const LATER_CLASSES = ['Random\\', 'SensitiveParameterValue', 'DateError', 'DateException', 'DateInvalidTimeZoneException', 'SQLite3Exception',
    'Pdo\\', 'Dom\\', 'BcMath\\', 'RoundingMode', 'Uri\\', 'NoDiscard', 'DelayedTargetValidation'];

const MODIFIERS = [T_PUBLIC, T_PROTECTED, T_PRIVATE, T_STATIC, T_READONLY, T_VAR, T_FINAL, T_ABSTRACT];

/** @return list<string> what of the source came after PHP 8.1 */
function later(string $source): array
{
    $tokens = array_values(array_filter(PhpToken::tokenize($source), static fn (PhpToken $t): bool => !$t->isIgnorable()));
    $found = [];
    foreach ($tokens as $i => $token) {
        $next = $tokens[$i + 1] ?? new PhpToken(0, '');
        $before = $tokens[$i - 1] ?? new PhpToken(0, '');
        $found[] = match (true) {
            $token->is(T_READONLY) && $next->is([T_CLASS, T_FINAL, T_ABSTRACT]) => 'a readonly class',
            $token->is(T_CLASS) && $before->is([T_FINAL, T_ABSTRACT]) && ($tokens[$i - 2] ?? null)?->is(T_READONLY) => 'a readonly class',
            $token->is(T_CONST) && !$before->is(T_USE) && !($tokens[$i + 2] ?? $next)->is('=') => 'a typed constant',
            $token->is(T_DOUBLE_COLON) && $next->is('{') => 'a constant by a name that is computed',
            $token->is(T_TRAIT) && in_trait($tokens, $i) => 'a constant in a trait',
            $token->is('(') && $before->is(MODIFIERS) && $next->text === 'set' => 'a property that others may only read',
            $token->is([T_STRING, T_NAME_QUALIFIED, T_NAME_FULLY_QUALIFIED]) => later_name($token, $before, $next),
            $token->is([T_FUNCTION, T_FN]) => later_signature($tokens, $i),
            $token->is(T_VARIABLE) && $before->is([T_STRING, ')']) => later_type(type_before($tokens, $i)),
            default => null,
        };
    }
    return array_values(array_filter($found));
}

function later_name(PhpToken $token, PhpToken $before, PhpToken $next): ?string
{
    $name = ltrim($token->text, '\\');
    if ($before->is([T_OBJECT_OPERATOR, T_NULLSAFE_OBJECT_OPERATOR, T_DOUBLE_COLON, T_FUNCTION, T_CONST])) {
        return null;
    }
    if ($next->is('(') && !$before->is(T_NEW)) {
        return in_array(strtolower($name), LATER_FUNCTIONS, true) ? "$name()" : null;
    }
    foreach (LATER_CLASSES as $class) {
        if ($name === $class || str_ends_with($class, '\\') && str_starts_with($name, $class)) {
            return "the class $name";
        }
    }
    return null;
}

/** @param list<PhpToken> $tokens */
function in_trait(array $tokens, int $i): bool
{
    for ($depth = 0; isset($tokens[++$i]);) {
        $depth += $tokens[$i]->text === '{' ? 1 : ($tokens[$i]->text === '}' ? -1 : 0);
        if ($depth === 1 && $tokens[$i]->is(T_CONST)) {
            return true;
        }
        if ($depth === 0 && $tokens[$i]->text === '}') {
            return false;
        }
    }
    return false;
}

/** The type that a function returns. Those of its parameters stand before variables. @param list<PhpToken> $tokens */
function later_signature(array $tokens, int $i): ?string
{
    while (!$tokens[$i]->is(['(', ';'])) {
        $i++;
    }
    for ($depth = 0; isset($tokens[$i]); $i++) {
        $depth += $tokens[$i]->text === '(' ? 1 : ($tokens[$i]->text === ')' ? -1 : 0);
        if ($depth > 0 || $tokens[$i]->is([')', T_USE])) {
            continue;
        }
        if (!$tokens[$i]->is(':')) {
            return null;
        }
        for ($type = []; !$tokens[++$i]->is(['{', ';', T_DOUBLE_ARROW]);) {
            $type[] = strtolower($tokens[$i]->text);
        }
        return later_type($type);
    }
    return null;
}

/** The words of a type in front of a variable, in a declaration. @param list<PhpToken> $tokens @return list<string> */
function type_before(array $tokens, int $i): array
{
    $words = ['|', '&', '?', ')', '(', T_STRING, T_NAME_QUALIFIED, T_NAME_FULLY_QUALIFIED, T_ARRAY, T_STATIC, T_AMPERSAND_NOT_FOLLOWED_BY_VAR_OR_VARARG];
    for ($type = [], $open = 0; isset($tokens[--$i]) && $tokens[$i]->is($words);) {
        $open += $tokens[$i]->text === ')' ? 1 : ($tokens[$i]->text === '(' ? -1 : 0);
        if ($open < 0) { // that of the parameters
            break;
        }
        array_unshift($type, strtolower($tokens[$i]->text));
    }
    return isset($tokens[$i]) && $tokens[$i]->is(['(', ',', ']', ...MODIFIERS]) ? $type : [];
}

/** @param list<string> $type */
function later_type(array $type): ?string
{
    $text = implode('', $type);
    return match (true) {
        in_array('true', $type, true) => 'the type true',
        in_array('(', $type, true) => "the type $text",
        in_array($text, ['null', 'false', '?false'], true) => "the type $text alone",
        default => null,
    };
}

$new = ['readonly class A {}', 'final readonly class A {}', 'readonly final class A {}', 'abstract readonly class A {}',
    'class A { const string B = "x"; }', 'class A { final public const ?int B = 1; }', 'trait T { public const A = 1; }', 'echo A::{$x};',
    'class A { public private(set) string $b; }', 'function f(): true {}', 'fn (): null => 1;', 'class A { private ?false $b; }',
    'function f(A $a, true|int $b) {}', 'function f((A&B)|null $a) {}', 'class A { public readonly (A&B)|C $x; }', 'fn ($a) => json_validate($a);',
    '\array_find([], f(...));', 'new Random\Randomizer();', 'new \SensitiveParameterValue(1);', 'use Random\Engine;', 'function f(): (A&B)|C {}'];
foreach ($new as $code) {
    check("found in $code", later("<?php $code") !== [], true);
}
$old = ['#[\SensitiveParameter] class A {}', 'class A { public const B = 1; final const C = 2; public readonly int $x; }', '$a->json_validate(1);',
    'function json_validate() {}', 'function f(?int &$a, A|B|null $b, string ...$c): static|false {}', '$x = (int) $y; f(($a & $b) | $c);', 'A::B; $x ? true : $y;',
    'fn (#[X(true)] int $a = 1): ?array => [true, $b];', 'foreach ($a as [$b, $c]) { if (!true && $d) {} }', 'static fn () => new class { use T; };', 'return (f() || $x);',
    'use const A\b; const C = 1;'];
foreach ($old as $code) {
    check("nothing found in $code", later("<?php $code"), []);
}
$files = [__DIR__ . '/../bin/resque'];
foreach (['src', 'lib'] as $folder) {
    foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator(__DIR__ . "/../$folder", FilesystemIterator::SKIP_DOTS)) as $file) {
        $files[] = (string) $file;
    }
}
foreach ($files as $file) {
    check($file, later((string) file_get_contents($file)), []);
}
done(70);
