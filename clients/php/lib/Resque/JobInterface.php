<?php

/** What job classes may say that they are; none has to. */
interface Resque_JobInterface
{
    public function perform();
}
