<?php

/** What went wrong with a job in Resque's own terms. */
class Resque_Exception extends Exception
{
}
