<?php

if (getenv('SCHEDULER_FD') !== false) {
    exit(9);
}
