<?php

/** Thrown by a listener of beforeEnqueue: the job is not to be enqueued. */
class Resque_Job_DontCreate extends Exception
{
}
