<?php

/** The process of a job ended before perform() did: exit, a fatal error, a signal. */
class Resque_Job_DirtyExit extends RuntimeException
{
}
