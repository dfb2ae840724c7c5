"""What comes at once: signals, answers, the ends of tasks and of processes."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import pgscheduler  # noqa: E402
from pgscheduler import Client, Worker  # noqa: E402
from test_pgscheduler import CUT, Fake, leased  # noqa: E402

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


class LeasesTest(unittest.TestCase):
    def worker(self, server, handler, **options):
        self.lines = []
        self.fake = Fake(self, server)
        worker = Worker(self.fake.url, log=self.lines.append, **options)
        worker.handle("x", handler)
        return worker

    def after_leases(self, do):
        """Does something when a call for tasks has its answer, before the worker sees it."""
        call = pgscheduler._HTTP.call

        def held_up(http, method, path, *args, **more):
            answer = call(http, method, path, *args, **more)
            if path == "/v1/leases" and answer["leases"]:
                do()
            return answer

        patch = mock.patch.object(pgscheduler._HTTP, "call", held_up)
        patch.start()
        self.addCleanup(patch.stop)

    def test_a_stop_while_it_connects(self):
        threads, asked = [], []

        class Connection(pgscheduler.http.client.HTTPConnection):
            def connect(self):
                if not threads:
                    threads.append(threading.current_thread())
                    worker.stop()
                super().connect()

            def request(self, method, *args):
                asked.append(method)
                super().request(method, *args)

        worker = self.worker(Server(leased(1)), lambda task: None)
        with mock.patch.object(pgscheduler._HTTP, "connection", lambda http, timeout: Connection(http._host, http._port, timeout=timeout)):
            worker.run()
            threads[0].join()
        self.assertEqual(asked, ["DELETE"])

    def test_a_stop_before_it_runs(self):
        worker = self.worker(Server(leased(1)), lambda task: None)
        worker.stop()
        worker.run()
        self.assertEqual([request["method"] for request in self.fake.requests], ["DELETE"])

    def test_what_comes_with_the_stop_is_done_before_the_worker_leaves(self):
        left = threading.Event()
        server = Server(leased(1))
        server.told = lambda request: left.set() if request["method"] == "DELETE" else None
        worker = self.worker(server, lambda task: "done")

        def stop():
            worker.stop()
            left.wait(1)  # which is what must not come

        self.after_leases(stop)
        worker.run()
        self.assertEqual([(op, body["result"]) for _, op, body in server.said], [("complete", "done")])
        self.assertEqual([request["method"] for request in self.fake.requests], ["POST", "POST", "DELETE"])

    def test_what_comes_with_the_second_signal_is_handed_back(self):
        stopped = []

        def handler(task):
            stopped.append(task.stopping.wait(PATIENCE))
            task.check()

        server = Server(leased(1))
        worker = self.worker(server, handler, drain_timeout=2 * PATIENCE)
        self.after_leases(lambda: (worker._on_signal(), worker._on_signal()))
        worker.run()
        self.assertEqual((stopped, [(op, body["reason"]) for _, op, body in server.said]), ([True], [("release", "shutdown")]))

    def test_a_second_signal_in_the_middle_of_the_first(self):
        lock, told = threading.Lock(), []

        class Door:
            def stop(self):
                self.held = lock.acquire(blocking=False)  # as an Event does, on a thread that is interrupted then
                told.append(("stop", self.held))
                if self.held:
                    worker._on_signal()
                    lock.release()

            def abort(self):
                told.append(("abort", self.held))

        worker = Worker("http://x")
        worker._door = Door()
        worker._on_signal()
        self.assertEqual(told, [("stop", True), ("abort", True)])

    def test_nobody_speaks_for_a_handler_that_has_returned(self):
        returned, sent = threading.Event(), []

        def handler(task):
            returned.set()
            task.check()

        door = types.SimpleNamespace(grace=0, _handlers={"x": handler}, MOST_LINES=1000, outlasted=lambda task, change: sent.append("deaf"),
                                     freed=lambda lease, ended: sent.append(ended), LOOK=1, _log=sent.append,
                                     send=lambda lease, op, fields: sent.append((op, fields["error"]["code"])) or {"state": "failed"})
        attempt = pgscheduler._Attempt(door, "l1", leased(1)["task"])
        attempt.task._stop("timeout")
        thread = threading.Thread(target=attempt.run)
        with attempt._saying:  # a report is under way
            thread.start()
            self.assertTrue(returned.wait(PATIENCE))
            for _ in range(10 * PATIENCE):
                if attempt._over:
                    break
                thread.join(0.1)  # which has to wait for the report
            attempt.look()
            attempt.look()
            self.assertFalse(attempt._given_up)
            speaker = threading.Thread(target=attempt._give_up)  # who was about to when it returned
            speaker.start()
        thread.join()
        speaker.join()
        self.assertEqual(sent, [("fail", "timeout"), True])

    def test_time_in_which_the_worker_stood_still_is_no_grace(self):
        now = [1000.0]
        door = types.SimpleNamespace(grace=5, LOOK=0.25)
        with mock.patch.object(pgscheduler, "time", types.SimpleNamespace(monotonic=lambda: now[0])):
            attempt = pgscheduler._Attempt(door, "l1", leased(1)["task"])
            attempt.task._stop("cancelled")
            for seconds in (0, 60, 0.25):
                now[0] += seconds
                attempt.look()
        self.assertFalse(attempt._given_up)

    def test_a_progress_is_sent_as_it_was(self):
        sent, data = [], {"n": [1]}
        attempt = pgscheduler._Attempt(types.SimpleNamespace(MOST_LINES=1, MOST_PENDING=1, send=lambda *it: sent.append(it) or {"cancelled": False, "state": "run"},
                                                             _obey=sent.append), "l1", leased(1)["task"])
        attempt.task.progress(1, 2, data=data)
        data["n"].append(object())  # no JSON any more
        attempt.report()
        self.assertEqual(sent[0], ("l1", "heartbeat", {"progress": {"current": 1, "total": 2, "data": {"n": [1]}}}))

    def test_a_report_without_an_answer_holds_up_no_timeout(self):
        reports, ended = threading.Event(), threading.Event()
        timely = []

        def told(request):
            if request["path"] == "/v1/leases/l1/heartbeat":
                reports.set()
                timely.append(ended.wait(PATIENCE))
            if request["path"] == "/v1/leases/l2/fail":
                ended.set()

        def handler(task):
            if task.payload == 1:
                task.log("begins")
                return ended.wait(PATIENCE)
            reports.wait(PATIENCE)
            return task.sleep(PATIENCE)

        server = Server(leased(1), leased(2, timeout_ms=1))
        server.told = told
        self.worker(server, handler, concurrency=2).run()
        self.assertEqual(set(timely), {True})
        self.assertIn(("l2", "fail", "timeout"), [(lease, op, body.get("error", {}).get("code")) for lease, op, body in server.said])

    def test_a_heartbeat_that_is_repeated_names_what_was_leased_meanwhile(self):
        beats, beating, second = [], threading.Event(), threading.Event()

        def told(request):
            if request["path"] == "/v1/leases" and request["body"]["held"]:
                beating.wait(PATIENCE)
                server.given.extend(later)
                later.clear()
            if request["path"].endswith("/heartbeat"):
                beats.append(sorted(request["body"]["leases"]))
                beating.set()
                if len(beats) == 1:
                    second.wait(PATIENCE)
                    return CUT

        def handler(task):
            if task.payload == 2:
                second.set()
            while len(beats) < 2 and not task.stopping.wait(0.01):
                pass

        call = pgscheduler._HTTP.call

        def patient(http, method, path, *args, **more):
            return call(http, method, path, *args, **{**more, **({"timeout": PATIENCE} if "timeout" in more else {})})

        server, later = Server(leased(1)), [leased(2)]
        server.told = told
        with mock.patch.object(pgscheduler._HTTP, "call", patient):
            self.worker(server, handler, concurrency=2, ttl_ms=5000).run()
        self.assertEqual(beats[:2], [["l1"], ["l1", "l2"]])

    def test_a_heartbeat_that_fails_after_a_long_poll_loses_nothing(self):
        now, beats, heard = [1000.0], [], threading.Event()
        clock = types.SimpleNamespace(monotonic=lambda: now[0], time=pgscheduler.time.time, sleep=pgscheduler.time.sleep)

        def told(request):
            if request["path"] == "/v1/leases":
                now[0] += 20  # it waited for so long
            if request["path"].endswith("/heartbeat"):
                beats.append(request)
                if len(beats) <= 2:
                    return 503, {}
                heard.set()

        server = Server(leased(1))
        server.told = told
        with mock.patch.object(pgscheduler, "time", clock):
            self.worker(server, lambda task: (heard.wait(PATIENCE), task.check())[0], ttl_ms=5000).run()
        self.assertEqual([(op, body["result"]) for _, op, body in server.said], [("complete", True)])

    def test_a_connection_that_was_cut_while_idle_is_not_the_only_one(self):
        both, ports = threading.Barrier(2, timeout=PATIENCE), []

        def answer(request, n):
            if n <= 2:
                both.wait()
            elif request["port"] in ports[:2]:
                ports.append(request["port"])
                return CUT
            ports.append(request["port"])
            return 200, {"done": True}

        fake = Fake(self, answer)
        client = Client(fake.url, retries=0)
        self.addCleanup(client.close)
        threads = [threading.Thread(target=client.task, args=("t",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.task("t")
        self.assertEqual((len(ports), len(set(ports))), (4, 3), ports)

    def test_what_was_said_outlives_a_result_and_a_checkpoint_that_are_refused(self):
        def handler(task):
            task.log("a line")
            task.progress(1, 2, "half")
            with self.assertRaises(pgscheduler.ProblemError):
                task.save_checkpoint("too large")
            task.log("another")
            return "too large"

        server = Server(leased(1))
        server.told = lambda request: (422, {"code": "validation_failed", "detail": "no"}) if "too large" in json.dumps(request["body"]) else None
        self.worker(server, handler).run()
        self.assertEqual([(op, body["error"]["code"]) for _, op, body in server.said if op != "heartbeat"], [("fail", "bad_result")])
        self.assertEqual([line["message"] for _, _, body in server.said for line in body.get("logs", [])], ["a line", "another"])
        self.assertEqual([body["progress"]["message"] for _, _, body in server.said if "progress" in body], ["half"])

    def test_a_line_that_is_refused_fails_no_task(self):
        def handler(task):
            for i in range(1001):
                task.log("too large")
            return "done"

        server = Server(leased(1))
        server.told = lambda request: (413, {"code": "payload_too_large"}) if "too large" in json.dumps(request["body"]) else None
        self.worker(server, handler).run()
        self.assertEqual([(op, body) for _, op, body in server.said if op != "heartbeat"], [("complete", {"result": "done"})])

    def test_neither_outcome_nor_checkpoint_are_given_up_for_a_proxy(self):
        def handler(task):
            task.save_checkpoint(1)
            for i in range(1001):
                task.log("a line")
            return "done"

        refusals = {"heartbeat": [404, 500, 403], "complete": [404, 500, 403]}
        server = Server(leased(1))
        server.told = lambda request: (refusals[op].pop(), b"<html>") if refusals.get(op := request["path"].split("/")[-1]) else None
        with mock.patch.object(pgscheduler._Leases, "LONGEST_PAUSE", 0.01):
            self.worker(server, handler).run()
        self.assertEqual([(op, body.get("checkpoint", body.get("result"))) for _, op, body in server.said if "logs" not in body or op != "heartbeat"],
                         [("heartbeat", 1), ("complete", "done")])

    def test_lines_that_find_no_server_fail_no_task(self):
        def handler(task):
            for i in range(1001):
                task.log("a line")
            return "done"

        server = Server(leased(1))
        server.told = lambda request: (404, b"<html>") if request["path"] == "/v1/leases/l1/heartbeat" else None
        self.worker(server, handler).run()
        self.assertEqual([(op, body["result"]) for _, op, body in server.said], [("complete", "done")])

    def test_an_outcome_that_is_refused_for_ever_is_a_failure(self):
        server = Server(leased(1))
        server.told = lambda request: (500, {}) if request["path"].endswith("/complete") else None
        with mock.patch.object(pgscheduler._Leases, "LONGEST_PAUSE", 0.01):
            self.worker(server, lambda task: "done").run()
        self.assertEqual([(op, body["error"]["code"], body["retryable"]) for _, op, body in server.said], [("fail", "not_stored", True)])

    def test_nothing_is_made_a_failure_of_once_the_worker_is_gone(self):
        sent, gone = [], threading.Event()
        door = types.SimpleNamespace(UNTAKEN=(422,), _gone=gone, _log=lambda line: None, MOST_LINES=1, send=lambda *it: sent.append(it) or {"state": "x"})
        attempt = pgscheduler._Attempt(door, "l1", leased(1)["task"])
        attempt._refused(pgscheduler.ProblemError(500, {}))
        gone.set()
        attempt._refused(pgscheduler.ProblemError(500, {}))
        self.assertEqual([op for _, op, _ in sent], ["fail"])

    def test_lines_that_could_not_be_reported_go_with_the_outcome(self):
        refused = threading.Event()

        def told(request):
            if request["path"] == "/v1/leases/l1/heartbeat":
                refused.set()
                return 404, b"<html>"

        def handler(task):
            task.log("one")
            task.progress(1, 2)
            refused.wait(PATIENCE)
            task.log("two")

        server = Server(leased(1))
        server.told = told
        self.worker(server, handler).run()
        [(_, op, body)] = server.said
        self.assertEqual((op, [line["message"] for line in body["logs"]], body["progress"]), ("complete", ["one", "two"], {"current": 1, "total": 2}))

    def test_a_worker_that_is_no_child_heeds_signals(self):
        seen = []
        worker = self.worker(Server(leased(1)), lambda task: seen.append(signal.getsignal(signal.SIGTERM)))
        with mock.patch.dict(os.environ, SCHEDULER_ORPHAN="exit"):  # of a child that started it
            worker.run()
        self.assertEqual(seen, [worker._on_signal])

    def test_a_task_that_is_told_to_end_before_its_process_has_come_up_is_not_begun(self):
        task, begun = pgscheduler.Task({"id": "t"}, None), []

        class Child(pgscheduler._Child):
            def __init__(self):
                self.alive, self.ends, self._ready = True, False, False

            def gone(self):
                return False

            def _listen(self):
                task._stop("timeout")
                self._ready = True

            def run(self, task, grace):
                begun.append(task)

        children, child = pgscheduler._Children({"grace": 0}), Child()
        children._idle = [child]
        with self.assertRaises(pgscheduler.Stopped):
            children.handler(task)
        self.assertEqual((begun, children._idle), ([], [child]))


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
    if task.payload == "two signals":
        for n in (1, 2):
            os.kill(os.getpid(), signal.SIGTERM)
            while worker._told < n:
                time.sleep(0.001)
        task.sleep(%d)
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
""" % (str(pathlib.Path(__file__).parent.parent), PATIENCE, PATIENCE)

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

    def child(self):
        """A child of this process, a file of what it says, and what sends it a frame."""
        frames, write = os.pipe()
        env = {**os.environ, "SCHEDULER_FD": str(write), "SLOTS": "2"}
        child = subprocess.Popen([sys.executable, "-c", self.PROGRAM], stdin=subprocess.PIPE, pass_fds=[write], env=env)
        os.close(write)

        def send(op, **fields):
            child.stdin.write(json.dumps({"op": op, **fields}).encode() + b"\n")
            child.stdin.flush()

        return child, os.fdopen(frames), send

    def test_what_a_child_gives_up_at_a_second_signal_is_no_failure(self):
        child, heard, send = self.child()
        with child, heard:
            send("task", task=leased(1, payload="two signals")["task"])
            ready, ended = (json.loads(heard.readline()) for _ in range(2))
            self.assertEqual(ended, {"op": "snooze", "id": "t1", "delay_ms": 0, "reason": "shutdown", "ends": True})
            self.assertEqual(child.wait(PATIENCE), 0)

    def test_a_child_of_a_worker_that_was_sent_a_signal(self):
        child, heard, send = self.child()
        with child, heard:
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
