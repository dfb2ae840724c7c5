"""What comes at once: signals, answers, the ends of tasks and of processes."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import pgscheduler  # noqa: E402
from test_pgscheduler import Fake, leased  # noqa: E402

PATIENCE = 120  # seconds for what has to come


class Server:
    """Gives its leases, each once, until there are none left; then says stop."""

    def __init__(self, *given):
        self.given, self.rest, self.said = list(given), "stop", []

    def __call__(self, request, n):
        told = self.told(request)
        if told:
            return told
        parts = request["path"].split("/")
        if request["method"] == "DELETE":
            return 204, None
        if request["path"] == "/v1/leases":
            leases = [self.given.pop(0) for _ in range(min(len(self.given), request["body"]["max"]))]
            return 200, {"worker": {"state": "run" if leases else self.rest}, "leases": leases}
        if parts[2] == "workers":
            return 200, {"state": "run", "expires_at": "x", "cancelled": [], "lost": []}
        self.said.append((parts[3], parts[4], request["body"]))
        return 200, {"state": "run", "cancelled": False}

    def told(self, request):
        return None


class ProcessTest(unittest.TestCase):
    PROGRAM = """
import os, signal, sys, threading, time
sys.path.insert(0, %r)
from pgscheduler import Worker
child = "SCHEDULER_FD" in os.environ
if child and "BOOTS" in os.environ:
    with open(os.environ["BOOTS"], "a") as boots:
        boots.write("x")
    if os.path.getsize(os.environ["BOOTS"]) == 2:
        sys.exit("stumbles")
worker = Worker(isolate="SLOTS" not in os.environ, concurrency=int(os.environ.get("SLOTS", 1)))
def handler(task):
    if task.payload == "signal":
        os.kill(os.getpid(), signal.SIGTERM)
    if task.payload == "stop":
        worker.stop()
    if task.payload == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.payload == "wait":
        task.log("begins")
        while not worker._door._closed:
            time.sleep(0.001)
        task.log("draining")
        task.sleep(%d)
    return os.getpid()
worker.handle("x", handler)
worker.run()
if child:
    time.sleep(1)  # it takes its time to end
""" % (str(pathlib.Path(__file__).parent.parent), PATIENCE)

    def work(self, *payloads, **env):
        server = Server(*(leased(i, payload=payload) for i, payload in enumerate(payloads)))
        done = subprocess.run([sys.executable, "-c", self.PROGRAM], env={**os.environ, "SCHEDULER_URL": Fake(self, server).url, **env},
                              capture_output=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [(lease, op, body.get("result", body.get("error", {}).get("code"))) for lease, op, body in server.said if op != "heartbeat"]

    def test_a_signal_to_a_child_ends_no_child(self):
        said = self.work("signal", "well")
        self.assertEqual([(lease, op) for lease, op, _ in said], [("l0", "complete"), ("l1", "complete")], said)
        self.assertEqual(said[0][2], said[1][2])

    def test_a_child_that_says_that_it_ends_gets_no_further_task(self):
        said = self.work("stop", "well")
        self.assertEqual([(lease, op) for lease, op, _ in said], [("l0", "complete"), ("l1", "complete")], said)
        self.assertNotEqual(said[0][2], said[1][2])

    def test_no_task_suffers_for_a_child_that_stumbles(self):
        boots = tempfile.NamedTemporaryFile()
        self.addCleanup(boots.close)
        said = self.work("die", "well", BOOTS=boots.name)
        self.assertEqual([(lease, op) for lease, op, _ in said], [("l0", "fail"), ("l1", "complete")], said)

    def test_a_child_of_a_worker_that_was_sent_a_signal(self):
        frames, write = os.pipe()
        env = {**os.environ, "SCHEDULER_FD": str(write), "SLOTS": "2"}
        child = subprocess.Popen([sys.executable, "-c", self.PROGRAM], stdin=subprocess.PIPE, pass_fds=[write], env=env)
        os.close(write)

        def send(op, **fields):
            child.stdin.write(json.dumps({"op": op, **fields}).encode() + b"\n")
            child.stdin.flush()

        with child, os.fdopen(frames) as heard:
            def hear():
                return json.loads(heard.readline())

            self.assertEqual(hear()["op"], "ready")
            send("task", task=leased(1, payload="wait")["task"])
            self.assertEqual(hear()["message"], "begins")
            child.terminate()
            self.assertEqual(hear()["message"], "draining")
            send("task", task=leased(2, payload="well")["task"])
            late = hear()
            self.assertEqual((late["id"], late["op"], late["delay_ms"], late["ends"]), ("t2", "snooze", 0, True))
            send("cancel", id="t1", reason="cancelled")
            ended = hear()
            self.assertEqual((ended["id"], ended["op"], ended["ends"]), ("t1", "error", True))
            self.assertEqual(child.wait(PATIENCE), 0)

    def test_who_prints_faster_than_is_read(self):
        child, chunks = pgscheduler._Child.__new__(pgscheduler._Child), iter(range(10_000))
        child._process, child._rests, child._task, child._last = types.SimpleNamespace(stdout=sys.__stdout__), {"stdout": b""}, None, ""
        child._log = lambda line: None
        with mock.patch.object(pgscheduler.os, "read", lambda fd, most: b"%d\n" % next(chunks)):
            self.assertLess(len(child._read("stdout")), 1000)


if __name__ == "__main__":
    unittest.main()
