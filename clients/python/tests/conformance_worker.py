"""The conformance worker: see conformance/README.md."""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from pgscheduler import PermanentError, RetryAfter, Snooze, Worker  # noqa: E402

SAMPLE = "žluťoučký 🐎 \\u0000-free \"quotes\" \\ / \n end"
worker = Worker(queues=os.environ.get("QUEUES", "default").split(","), ttl_ms=int(os.environ.get("TTL_MS", 60_000)),
                isolate=os.environ.get("ISOLATE") == "1")


class Failure(Exception):
    pass


def die():
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


@worker.handle("conformance.echo")
def echo(task):
    return task.payload


@worker.handle("conformance.progress")
def progress(task):
    steps = task.payload["steps"]
    for i in range(1, steps + 1):
        task.progress(i, steps, "step %d" % i)
        task.log("line %d" % i)
    return {"steps": steps}


@worker.handle("conformance.fail")
def fail(task):
    message, code = task.payload["message"], task.payload.get("code", "failure")
    if task.payload.get("retryable") is False:
        raise PermanentError(message, code=code)
    if "retry_after_ms" in task.payload:
        raise RetryAfter(task.payload["retry_after_ms"], message, code=code)
    failure = Failure(message)
    failure.code = code
    raise failure


@worker.handle("conformance.throw")
def throw(task):
    raise LookupError(task.payload["message"])


@worker.handle("conformance.flaky")
def flaky(task):
    if task.attempt < task.payload["until"]:
        raise RetryAfter(0, "flaky")
    return {"attempt": task.attempt}


@worker.handle("conformance.crash")
def crash(task):
    if task.attempt < task.payload["until"]:
        die()
    return {"attempt": task.attempt}


@worker.handle("conformance.snooze")
def snooze(task):
    if task.attempt < task.payload["until"]:
        raise Snooze(task.payload["delay_ms"])
    return {"attempt": task.attempt}


@worker.handle("conformance.checkpoint")
def checkpoint(task):
    begin = (task.checkpoint or {"step": 0})["step"]
    for step in range(begin + 1, task.payload["steps"] + 1):
        task.save_checkpoint({"step": step})
        if step == task.payload.get("crash_at") and task.attempt == 1:
            die()
    return {"from": begin, "steps": task.payload["steps"]}


@worker.handle("conformance.wait")
def wait(task):
    while True:
        task.sleep(60)


@worker.handle("conformance.sleep")
def sleep(task):
    task.log("sleeps")
    task.sleep(task.payload["ms"] / 1000)
    return {"slept": task.payload["ms"]}


@worker.handle("conformance.big")
def big(task):
    return {"text": "x" * task.payload["bytes"]}


@worker.handle("conformance.stray")
def stray(task):
    if os.environ.get("SCHEDULER_FD"):
        print("stray out é")
        print("stray err", file=sys.stderr)
    else:
        task.log("stray out é")
        task.log("stray err")
    return {}


@worker.handle("conformance.unicode")
def unicode(task):
    task.log(SAMPLE)
    task.progress(1, 1, SAMPLE)
    return SAMPLE


worker.run()
