<?php

/** Thrown by beforePerform, setUp() or perform(): the job is not to be performed, and has not failed. */
class Resque_Job_DontPerform extends Exception
{
}
