<?php

declare(strict_types=1);

// Loads the classes of this package where there is no Composer: require this file.
spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'PgScheduler\\')) {
        $file = __DIR__ . '/' . str_replace('\\', '/', substr($class, 12)) . '.php';
    } elseif ($class === 'Resque' || str_starts_with($class, 'Resque_')) {
        $file = __DIR__ . '/../lib/' . str_replace('_', '/', $class) . '.php';
    } else {
        return;
    }
    if (is_file($file)) {
        require $file;
    }
});
