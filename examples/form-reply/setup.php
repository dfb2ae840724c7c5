<?php

// Makes the application's tables. Yours come from its migrations.

require __DIR__ . '/app.php';

database()->exec(file_get_contents(__DIR__ . '/schema.sql'));
