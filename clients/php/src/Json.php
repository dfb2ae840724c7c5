<?php

declare(strict_types=1);

namespace PgScheduler;

/** JSON as the scheduler writes it. @internal */
final class Json
{
    private const FLAGS = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION;

    /** @throws \JsonException for what JSON has no form for, as text that is not UTF-8 */
    public static function encode(mixed $value): string
    {
        return json_encode($value, self::FLAGS);
    }

    /** Text for people: bytes that are not UTF-8 are replaced, and so is NUL, which PostgreSQL does not store. */
    public static function text(string $text): string
    {
        $text = str_replace("\0", "\u{FFFD}", $text);
        return preg_match('//u', $text) === 1 ? $text : json_decode(json_encode($text, JSON_INVALID_UTF8_SUBSTITUTE));
    }

    /** Objects as arrays, which is what PHP programs expect. */
    public static function arrays(mixed $value): mixed
    {
        return is_object($value) || is_array($value) ? array_map(self::arrays(...), (array) $value) : $value;
    }
}
