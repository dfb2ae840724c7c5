import ast
import http.server
import json
import os
import pathlib
import queue
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import pgscheduler  # noqa: E402
from pgscheduler import AllDeaf, Client, ConnectionFailed, PermanentError, ProblemError, RetryAfter, Snooze, Stopped, Worker, publish_tx, submit_tx  # noqa: E402

ID = "01a1fbef-233c-7042-95b8-43300d35ff2a"
CUT = object()  # an answer: none, the connection is cut


class Fake:
    """A server that answers as a test says, and keeps what it was asked."""

    def __init__(self, test, answer):
        self.requests = requests = []
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = {"method": self.command, "path": self.path, "headers": self.headers, "body": json.loads(text) if text else None,
                           "port": self.client_address[1]}
                with lock:
                    requests.append(request)
                    n = len(requests)
                given = answer(request, n)
                if given is CUT:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, body, headers = (given + ({},))[:3]
                content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                if "Connection" in headers:
                    self.close_connection = True

            do_GET = do_POST = do_DELETE = serve

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        server = Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        test.addCleanup(thread.join)
        test.addCleanup(server.server_close)
        test.addCleanup(server.shutdown)
        self.url = "http://127.0.0.1:%d" % server.server_port


class ClientTest(unittest.TestCase):
    def client(self, answer, **more):
        fake = Fake(self, answer)
        client = Client(fake.url + "/", "secret", **more)
        self.addCleanup(client.close)
        return client, fake.requests

    def test_submit_sends_what_it_is_told(self):
        client, requests = self.client(lambda *_: (202, {"id": ID}))
        self.assertEqual(client.submit("mail.send", {"to": "žluť 🐎"}, queue="mail", request_id="r-1", wait=99, traceparent="00-x"), {"id": ID})
        self.assertEqual(client.submit("nothing", None), {"id": ID})
        first, second = requests
        self.assertEqual(first["body"], {"kind": "mail.send", "payload": {"to": "žluť 🐎"}, "queue": "mail"})
        headers = first["headers"]
        self.assertEqual((first["method"], first["path"], headers["Authorization"], headers["X-Request-ID"], headers["Prefer"], headers["traceparent"]),
                         ("POST", "/v1/tasks", "Bearer secret", "r-1", "wait=60", "00-x"))
        self.assertEqual((second["body"]["payload"], second["headers"]["Prefer"]), ({}, None))

    def test_a_submit_with_a_key_is_repeated_one_without_is_not(self):
        answers = [CUT, (503, {"code": "database_unavailable"}), (202, {"id": ID})]
        client, requests = self.client(lambda _, n: answers[n - 1])
        self.assertEqual(client.submit("x", idempotency_key="k")["id"], ID)
        self.assertEqual(len(requests), 3)
        client, requests = self.client(lambda *_: CUT)
        with self.assertRaises(ConnectionFailed) as caught:
            client.submit("x")
        self.assertEqual((caught.exception.sent, len(requests)), (True, 1))
        client, requests = self.client(lambda *_: (503, {}))
        with self.assertRaises(ProblemError):
            client.submit("x")
        self.assertEqual(len(requests), 1)

    def test_nobody_listens(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            with self.assertRaises(ConnectionFailed) as caught:
                Client("http://127.0.0.1:%d" % taken.getsockname()[1], retries=1).submit("x")
        self.assertFalse(caught.exception.sent)

    def test_problems(self):
        problem = {"code": "validation_failed", "detail": "/kind: needed", "errors": [{"pointer": "/kind"}], "request_id": "R", "task_id": ID, "state": "running"}
        client, _ = self.client(lambda _, n: [(422, problem), (502, b"<html>")][n - 1], retries=0)
        with self.assertRaises(ProblemError) as caught:
            client.submit("")
        it = caught.exception
        self.assertEqual((it.status, it.code, str(it), it.errors, it.request_id, it.task_id, it.state),
                         (422, "validation_failed", "/kind: needed", [{"pointer": "/kind"}], "R", ID, "running"))
        with self.assertRaises(ProblemError) as caught:
            client.task(ID)
        self.assertEqual((caught.exception.code, str(caught.exception)), ("unknown", "<html>"))

    def test_an_idle_connection_that_was_closed(self):
        client, requests = self.client(lambda _, n: (200, {"n": n}) if n != 2 else CUT, retries=0)
        self.assertEqual(client.task(ID), {"n": 1})
        self.assertEqual(client.task(ID), {"n": 3})

    def test_a_wait_that_is_too_long_for_a_caller(self):
        client, requests = self.client(lambda *_: (503, {}, {"Retry-After": "30"}))
        with self.assertRaises(ProblemError) as caught:
            client.task(ID)
        self.assertEqual((caught.exception.retry_after, len(requests)), (30, 1))

    def test_a_fork_has_connections_of_its_own(self):
        client, requests = self.client(lambda request, n: (200, {"port": request["port"]}))
        mine = client.task(ID)["port"]
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, b"%d" % client.task(ID)["port"])
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            other = int(answer.read())
        os.waitpid(pid, 0)
        self.assertNotEqual(mine, other)
        self.assertEqual(client.task(ID)["port"], mine)

    def test_wait(self):
        client, requests = self.client(lambda _, n: (200, {"done": n == 3}))
        self.assertTrue(client.wait(ID)["done"])
        self.assertEqual([r["headers"]["Prefer"] for r in requests], ["wait=30"] * 3)
        self.assertFalse(client.wait(ID, timeout=0)["done"])

    def test_other_verbs(self):
        client, requests = self.client(lambda *_: (200, {"items": [1]}))
        self.assertEqual(client.submit_many([{"kind": "a"}]), [1])
        self.assertEqual(client.submit_many([]), [])
        client.cancel("a/b", "no")
        client.retry(ID)
        self.assertEqual((client.why(ID), client.attempts(ID), client.logs(ID, after=5)), ([1], [1], [1]))
        client.publish("order.paid/x", {"order": 7}, idempotency_key="k")
        self.assertEqual([(r["method"], r["path"], r["body"]) for r in requests], [
            ("POST", "/v1/tasks/batch", [{"kind": "a"}]), ("POST", "/v1/tasks/a%2Fb/cancel", {"reason": "no"}), ("POST", "/v1/tasks/%s/retry" % ID, {}),
            ("GET", "/v1/tasks/%s/why" % ID, None), ("GET", "/v1/tasks/%s/attempts" % ID, None), ("GET", "/v1/tasks/%s/logs?after=5&limit=200" % ID, None),
            ("POST", "/v1/topics/order.paid%2Fx/publish", {"payload": {"order": 7}, "idempotency_key": "k"})])

    def test_bad_addresses(self):
        for url, error in ((None, TypeError), ("localhost:8080", ValueError), ("ftp://x", ValueError), ("http://u:a-secret@x", ValueError),
                           ("htp://u:a-secret@x", ValueError), ("http://x?y", ValueError)):
            with self.assertRaises(error) as caught:
                Client(url)
            self.assertNotIn("a-secret", str(caught.exception))
        with self.assertRaises(ValueError) as caught:
            Client("http://x", "a-secret\n")
        self.assertNotIn("a-secret", str(caught.exception))

    def test_watch_goes_on_where_the_stream_broke_off(self):
        def event(name, cursor, data):
            return ("event: %s\nid: %s\ndata: %s\n\n" % (name, cursor, json.dumps(data))).encode()

        def answer(_, n):
            if n == 1:
                return 200, b"retry: 2000\n\n: hb\n\n" + event("task", "3", {"state": "running"}) + event("log", "3.1", {"message": "ž"}), {"Connection": "close"}
            return 200, event("task", "4.1", {"state": "completed"}) + event("end", "4.1", {}), {"Connection": "close"}

        client, requests = self.client(answer)
        self.assertEqual(list(client.watch(ID, after="2")), [("task", {"state": "running"}), ("log", {"message": "ž"}), ("task", {"state": "completed"})])
        self.assertEqual([r["headers"]["Last-Event-ID"] for r in requests], ["2", "3.1"])

    def test_watch_ends(self):
        client, _ = self.client(lambda _, n: [(204, None), (404, {"code": "not_found"})][n - 1])
        self.assertEqual(list(client.watch(ID)), [])
        with self.assertRaises(ProblemError):
            next(client.watch(ID, logs=False))


class Cursor:
    def execute(self, sql, values):
        self.sql, self.values = sql, values

    def fetchone(self):
        return [ID]


class TransactionTest(unittest.TestCase):
    def test_submit(self):
        cursor = Cursor()
        self.assertEqual(submit_tx(cursor, "a", {"b": [1]}, queue=None, delay_ms=5, tags=["x"], traceparent="00-…"), ID)
        self.assertEqual(cursor.sql, "select scheduler.submit(kind => %s::text, payload => %s::jsonb, delay_ms => %s::bigint, tags => %s::text[], traceparent => %s::text)")
        self.assertEqual(cursor.values, ["a", '{"b": [1]}', 5, ["x"], "00-…"])
        with self.assertRaises(TypeError):
            submit_tx(cursor, "a", **{"queue) as id; drop table x; --": 1})
        with self.assertRaises(ValueError):
            submit_tx(cursor, "a", {"n": float("nan")})
        self.assertEqual(publish_tx(cursor, "order.paid", {"order": 7}, traceparent="00-…"), ID)
        self.assertEqual(cursor.values, ["order.paid", '{"order": 7}', None, "00-…"])


def leased(n, **more):
    return {"lease": "l%d" % n, "task": {"id": "t%d" % n, "kind": "x", "payload": n, "attempt": 1, "timeout_ms": None, "checkpoint": None, **more}}


class LeasesTest(unittest.TestCase):
    def work(self, given, handler, say=lambda request: None, **options):
        """Runs a worker until it has no more to do; returns what it said of its leases."""
        lines = []

        def answer(request, _):
            said = say(request)
            if said:
                return said
            if request["method"] == "DELETE":
                return 204, None
            if request["path"] == "/v1/leases":
                leases = [given.pop(0) for _ in range(min(len(given), request["body"]["max"]))]
                return 200, {"worker": {"state": "run" if leases else "stop"}, "leases": leases}
            if request["path"].startswith("/v1/workers/"):
                return 200, {"state": "run", "expires_at": "x", "cancelled": [], "lost": []}
            return 200, {"state": "run", "cancelled": False}

        fake = Fake(self, answer)
        worker = Worker(fake.url, log=lines.append, **options)
        worker.handle("x", handler)
        try:
            worker.run()
        finally:
            self.requests, self.lines = fake.requests, lines
        return [(r["path"].split("/")[3], r["path"].split("/")[4], r["body"]) for r in fake.requests if r["path"].startswith("/v1/leases/")]

    def test_each_ends_once(self):
        said = self.work([leased(i) for i in range(20)], lambda task: task.payload, concurrency=4)
        self.assertEqual(sorted(body["result"] for _, op, body in said if op == "complete"), list(range(20)))
        self.assertEqual(self.requests[-1]["method"], "DELETE")
        body = self.requests[0]["body"]
        self.assertEqual((body["max"], body["kinds"], body["queues"], body["held"], body["worker"]["slots"]), (4, ["x"], ["default"], [], 4))

    def test_what_is_said_goes_with_the_outcome(self):
        def handler(task):
            task._stop = lambda _: None
            for i in range(2500):
                task.log("line \0 \ud800")
            task.progress(1.4, 3, "half", {"k": 1})

        said = self.work([leased(1)], handler)
        self.assertEqual(sum(len(body.get("logs", [])) for _, _, body in said), 2500)
        self.assertEqual([body["progress"] for _, _, body in said if "progress" in body], [{"current": 1, "total": 3, "message": "half", "data": {"k": 1}}])
        self.assertEqual((said[-1][1], said[-1][2]["result"]), ("complete", None))
        self.assertEqual(said[0][2]["logs"][0], {"message": "line \ufffd ?"})

    def test_how_attempts_end(self):
        def handler(task):
            raise [PermanentError("never", code="bad"), RetryAfter(5, "later"), Snooze(7, "not yet"), KeyError("k"), SystemExit(3)][task.payload]

        said = self.work([leased(i) for i in range(5)], handler)
        ended = {lease: (op, body.get("retryable"), body.get("retry_after_ms"), body.get("delay_ms"), body.get("error", {}).get("code")) for lease, op, body in said}
        self.assertEqual(ended, {"l0": ("fail", False, None, None, "bad"), "l1": ("fail", True, 5, None, "retry_after"), "l2": ("release", None, None, 7, None),
                                 "l3": ("fail", True, None, None, "KeyError"), "l4": ("fail", True, None, None, "SystemExit")})

    def test_bad_results_fail_for_good(self):
        circle = []
        circle.append(circle)
        results = [float("nan"), {1, 2}, circle, "too large"]
        said = self.work([leased(i) for i in range(4)], lambda task: results[task.payload],
                         lambda request: (422, {"code": "validation_failed"}) if request["path"] == "/v1/leases/l3/complete" else None)
        self.assertEqual([(op, body["error"]["code"], body["retryable"]) for _, op, body in said if op == "fail"], [("fail", "bad_result", False)] * 4)

    def test_what_the_server_does_not_take_is_left_out(self):
        def handler(task):
            with self.assertRaises(TypeError):
                task.progress(1, 2, "half", {1, 2})  # what is no JSON never leaves
            with self.assertRaises(TypeError):
                task.save_checkpoint({1, 2})
            task.log("a line")
            with self.assertRaises(ProblemError):
                task.save_checkpoint("too large")
            task.progress(1, 2, data="too large")
            return "well done"

        said = self.work([leased(1)], handler, lambda request: (422, {"code": "validation_failed"}) if "too large" in json.dumps(request["body"]) else None)
        self.assertEqual([(op, body) for _, op, body in said if "too large" not in json.dumps(body)],
                         [("complete", {"result": "well done", "logs": [{"message": "a line"}]})])

    def test_a_call_for_tasks_that_fails_is_tried_again_and_people_are_told(self):
        answers = [CUT, (404, b"<html>"), (429, {}, {"Retry-After": "1"}), (200, None), (200, {"hello": "world"}), (200, {"worker": {"state": "stop"}, "leases": []})]
        lines = []
        fake = Fake(self, lambda request, n: (204, None) if request["method"] == "DELETE" else answers[n - 1])
        worker = Worker(fake.url, log=lines.append)
        worker.handle("x", print)
        worker.run()
        self.assertEqual([request["method"] for request in fake.requests], ["POST"] * 6 + ["DELETE"])
        self.assertEqual(len(lines), 5, lines)
        self.assertEqual((lines[1], lines[4]), ("lease: %s says: <html>; trying again" % fake.url, "lease: the server answers again"))
        self.assertEqual(lines[3], "lease: what answers at %s is no scheduler; trying again" % fake.url)

    def test_a_redirect_ends_the_worker_with_the_address(self):
        with self.assertRaises(ProblemError) as caught:
            self.work([], lambda task: None, lambda request: (301, None, {"Location": "https://u:secret@jobs.example.org/v1/leases"}))
        self.assertEqual(caught.exception.code, "redirected")
        self.assertIn("jobs.example.org", str(caught.exception))
        self.assertNotIn("secret", str(caught.exception))

    def test_answers_of_another_server_to_what_is_said_end_nothing(self):
        def handler(task):
            with self.assertRaises(ConnectionFailed):
                task.save_checkpoint(1)

        said = self.work([leased(1), leased(2)], handler, lambda request: (200, None) if request["path"].startswith("/v1/leases/") else None)
        self.assertEqual([op for _, op, _ in said], ["heartbeat", "complete"] * 2)

    def test_a_deaf_handler_is_counted_the_others_go_on_and_its_late_result_is_refused(self):
        deaf, lines, seen = threading.Event(), [], []

        def answer(request, _):
            if request["method"] == "DELETE":
                return 204, None
            if request["path"] == "/v1/leases":
                leases = [given.pop(0) for _ in range(min(len(given), request["body"]["max"]))]
                return 200, {"worker": {"state": "run" if given or not seen else "stop"}, "leases": leases}
            return 200, {"state": "run", "cancelled": False, "lost": []}

        def handler(task):
            if task.payload == 1:
                deaf.wait()
                return "too late"
            while task.payload == 3 and worker.deaf == 0:
                time.sleep(0)
            if task.payload == 3:
                deaf.set()
                while worker.deaf > 0 or len(lines) < 2:
                    time.sleep(0)
                seen.append(task.payload)
            return "in time"

        given = [leased(1, timeout_ms=1), leased(2), leased(3)]
        fake = Fake(self, answer)
        worker = Worker(fake.url, log=lines.append, concurrency=2, grace=0.01)
        worker.handle("x", handler)
        worker.run()
        said = [(r["path"].split("/")[3], r["path"].split("/")[4], r["body"].get("error", {}).get("code")) for r in fake.requests if r["path"].startswith("/v1/leases/")]
        self.assertEqual(sorted(said), [("l1", "fail", "timeout"), ("l2", "complete", None), ("l3", "complete", None)])
        self.assertRegex(lines[0], r"^deaf: the handler of task t1 \(x\) goes on although it was told to stop \(timeout\); .*; 1 of 2 threads are lost so$")
        self.assertEqual(lines[1], "deaf: the handler of task t1 (x) has ended at last")

    def test_when_all_handlers_are_deaf_the_worker_ends(self):
        never = threading.Event()
        self.addCleanup(never.set)
        given = [leased(1, timeout_ms=1), leased(2, timeout_ms=1)]
        fake = Fake(self, lambda request, _: (204, None) if request["method"] == "DELETE" else
                    (200, {"worker": {"state": "run"}, "leases": [given.pop(0) for _ in range(min(len(given), request["body"]["max"]))]})
                    if request["path"] == "/v1/leases" else (200, {"state": "run", "cancelled": False}))
        worker = Worker(fake.url, log=[].append, concurrency=2, grace=0.01)
        worker.handle("x", lambda task: never.wait())
        with self.assertRaises(AllDeaf):
            worker.run()
        self.assertEqual((fake.requests[-1]["method"], worker.deaf), ("DELETE", 2))

    def test_a_late_outcome_is_refused_and_said_once(self):
        said = self.work([leased(1), leased(2)], lambda task: task.payload,
                         lambda request: (409, {"code": "lease_lost", "detail": "over"}) if request["path"] == "/v1/leases/l1/complete" else None)
        self.assertEqual(([(lease, op) for lease, op, _ in said], self.lines), ([("l1", "complete"), ("l2", "complete")], ["end task t1: over"]))

    def test_fields_of_a_later_server_hide_no_method(self):
        said = self.work([leased(1, progress="p", log="l", check=1, stopping="s", more="m")], lambda task: (task.log("x"), task.progress(1), task.check(), task.more)[3])
        self.assertEqual((said[-1][1], said[-1][2]["result"]), ("complete", "m"))

    def test_a_lost_lease(self):
        caught = []

        def handler(task):
            try:
                task.save_checkpoint({"step": 1})
            except ProblemError as error:
                caught.append(error.code)
            task.check()

        said = self.work([leased(1)], handler, lambda request: (409, {"code": "lease_lost"}) if request["path"].endswith("/heartbeat") else None)
        self.assertEqual((caught, [op for _, op, _ in said]), (["lease_lost"], ["heartbeat"]))

    def test_a_timeout(self):
        said = self.work([leased(1, timeout_ms=5)], lambda task: task.sleep(60))
        self.assertEqual([(op, body["error"]["code"]) for _, op, body in said], [("fail", "timeout")])

    def test_a_refusal_ends_the_worker(self):
        with self.assertRaises(ProblemError):
            self.work([], lambda task: None, lambda request: (401, {"code": "unauthorized"}))

    def test_bad_options(self):
        for bad in ({"concurrency": 0}, {"ttl_ms": 100}, {"queues": []}, {"queues": "mail"}):
            with self.assertRaises(ValueError):
                Worker("http://x", **bad)
        worker = Worker("http://x")
        with self.assertRaises(ValueError):
            worker.run()
        worker.handle("x", print)
        with self.assertRaises(ValueError):
            worker.handle("x", print)

    def test_signals_are_counted(self):
        class Door:
            draining, told = threading.Event(), []

            def stop(self):
                self.told.append("stop")

            def abort(self):
                self.told.append("abort")

        worker = Worker("http://x")
        worker._door = Door()
        Door.draining.set()  # the server, or the parent, said so before
        worker._on_signal()
        self.assertEqual(Door.told, ["stop"])
        worker._on_signal()
        self.assertEqual(Door.told, ["stop", "abort"])

    def test_stopped(self):
        task = pgscheduler.Task({"id": "t"}, None)
        task.check()
        task._stop("cancelled")
        task._stop("timeout")
        with self.assertRaises(Stopped) as caught:
            task.progress(1)
        self.assertEqual(caught.exception.code, "cancelled")


class VersionTest(unittest.TestCase):
    def test_nothing_is_newer_than_promised(self):
        with open(pgscheduler.__file__, encoding="utf-8") as file:
            ast.parse(file.read(), feature_version=(3, 9))  # syntax only


class IsolateTest(unittest.TestCase):
    PROGRAM = """
import os, signal, sys, time
sys.path.insert(0, %r)
from pgscheduler import PermanentError, RetryAfter, Snooze, Worker
if "BROKEN" in os.environ and "SCHEDULER_FD" in os.environ:
    sys.exit("can not come up")
worker = Worker(isolate=True, grace=0.05, concurrency=int(os.environ.get("CONCURRENCY", 1)))
def handler(task):
    print("prints", task.payload)
    if task.payload == "spin":
        while True:
            time.sleep(1)
    if task.payload == "die":
        print("last words", file=sys.stderr)
        if os.fork() == 0:  # holds all pipes open
            signal.pause()
        os.kill(os.getpid(), signal.SIGKILL)
    if task.payload == "refuse":
        raise PermanentError("no", code="bad")
    if task.payload == "later":
        raise RetryAfter(5, "busy")
    if task.payload == "snooze":
        raise Snooze(7, "not yet")
    task.progress(1, 2, "half")
    task.save_checkpoint({"step": 1})
    return [task.payload, task.checkpoint, "x" * 200_000]
worker.handle("x", handler)
worker.run()
""" % str(pathlib.Path(__file__).parent.parent)

    def work(self, payloads, timeout_ms=None, **env):
        """Runs the program. What spins is ended by timeout_ms, or else cancelled once it has printed something."""
        given = [leased(i, payload=payload, timeout_ms=timeout_ms if payload == "spin" else None) for i, payload in enumerate(payloads)]
        spins = ["l%d" % i for i, payload in enumerate(payloads) if payload == "spin" and not timeout_ms]

        def answer(request, _):
            if request["method"] == "DELETE":
                return 204, None
            if request["path"] == "/v1/leases":
                leases = [given.pop(0) for _ in range(min(len(given), request["body"]["max"]))]
                return 200, {"worker": {"state": "run" if leases else "stop"}, "leases": leases}
            return 200, {"state": "run", "cancelled": bool(request["body"].get("logs")) and request["path"].split("/")[3] in spins}

        fake = Fake(self, answer)
        done = subprocess.run([sys.executable, "-c", self.PROGRAM], env={**os.environ, "SCHEDULER_URL": fake.url, **env}, capture_output=True, timeout=120)
        ended, lines = {}, {}
        for request in fake.requests:
            if request["path"].startswith("/v1/leases/"):
                _, _, _, lease, op = request["path"].split("/")
                lines.setdefault(lease, []).extend(line["message"] for line in request["body"].get("logs", []))
                if op != "heartbeat":
                    ended.setdefault(lease, []).append((op, request["body"]))
        return done, ended, lines

    def test_how_attempts_end(self):
        done, ended, lines = self.work(["spin", "die", "refuse", "later", "snooze", "well"])
        self.assertEqual(done.returncode, 0, done.stderr)
        said = {lease: [(op, body.get("error", {}).get("code"), body.get("retryable"), body.get("retry_after_ms", body.get("delay_ms"))) for op, body in it]
                for lease, it in ended.items()}
        self.assertEqual(said, {"l0": [("fail", "cancelled", True, None)], "l1": [("fail", "worker_crashed", True, None)], "l2": [("fail", "bad", False, None)],
                                "l3": [("fail", "retry_after", True, 5)], "l4": [("release", None, None, 7)], "l5": [("complete", None, None, None)]})
        self.assertEqual(ended["l5"][0][1]["result"], ["well", {"step": 1}, "x" * 200_000])
        self.assertIn("last words", ended["l1"][0][1]["error"]["message"])
        self.assertEqual([it[0] for it in lines.values()], ["prints %s" % it for it in ("spin", "die", "refuse", "later", "snooze", "well")])
        self.assertNotIn(b"deaf", done.stderr)

    def test_no_task_outlives_a_worker_that_is_killed(self):
        child = queue.SimpleQueue()
        given = [leased(1, payload="spin")]

        def answer(request, _):
            if request["path"] == "/v1/leases":
                return 200, {"worker": {"state": "run"}, "leases": [given.pop(0) for _ in range(min(len(given), request["body"]["max"]))]}
            for line in request["body"].get("logs", []):
                child.put(line["message"])
            return 200, {"state": "run", "cancelled": False}

        program = subprocess.Popen([sys.executable, "-c", self.PROGRAM.replace('"prints", task.payload', "os.getpid()")],
                                   env={**os.environ, "SCHEDULER_URL": Fake(self, answer).url})
        pid = int(child.get(timeout=120))
        program.kill()
        program.wait()

        def alive():
            try:
                return pathlib.Path("/proc/%d/stat" % pid).read_text().split(") ")[1][0] != "Z"  # nobody here waits for orphans
            except OSError:
                return False

        end = time.monotonic() + 120
        while alive():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_several_at_once(self):
        done, ended, _ = self.work(["a", "spin", "b", "c", "spin", "d"], timeout_ms=100, CONCURRENCY="3")
        self.assertEqual((done.returncode, sorted(it[0][0] for it in ended.values())), (0, ["complete"] * 4 + ["fail"] * 2), done.stderr)

    def test_a_program_that_does_not_come_up_takes_no_task(self):
        done, ended, _ = self.work(["a"], BROKEN="1")
        self.assertEqual((done.returncode, ended), (1, {}))


os.environ.pop("SCHEDULER_FD", None)

if __name__ == "__main__":
    unittest.main()
