<?php

// Makes the consumer's tables. Yours come from its migrations.

require __DIR__ . '/database.php';

database()->exec(file_get_contents(__DIR__ . '/schema.sql'));
