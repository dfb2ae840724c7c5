"""Client and worker of scheduler, a durable task scheduler on PostgreSQL. One file, Python 3.9 and newer, no dependencies.

    from pgscheduler import Client, Worker

    Client().submit("mail.send", {"to": "ada@example.org"})

    worker = Worker(queues=["default"])

    @worker.handle("mail.send")
    def send(task):
        task.progress(1, 2, "connected")
        return {"sent": task.payload["to"]}

    worker.run()

A worker speaks frames below `scheduler worker --cmd "python3 worker.py"`, and takes leases over HTTP otherwise. README.md says more.
"""

import base64
import collections
import datetime
import hashlib
import hmac
import http.client
import json
import os
import platform
import queue
import random
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import uuid

__all__ = ["AllDeaf", "BadDelivery", "Client", "ConnectionFailed", "Lease", "PermanentError", "ProblemError", "RetryAfter", "Snooze", "Stopped",
           "Task", "Worker", "publish_tx", "submit_tx", "verify_delivery"]
__version__ = "0.1.0"


# Errors


class ProblemError(Exception):
    """The server refused, or could not do what was asked for. Decide by code: docs/problems.md has them all."""

    def __init__(self, status, problem):
        super().__init__(problem.get("detail") or problem.get("title") or "the server answered %d" % status)
        self.status = status
        self.code = problem.get("code", "unknown")
        self.errors = problem.get("errors", [])
        self.task_id = problem.get("task_id")
        self.state = problem.get("state")
        self.request_id = problem.get("request_id")
        self.retry_after = None  # seconds


class ConnectionFailed(Exception):
    """No answer came. Whether the server did what was asked for is not known, unless sent is false."""

    def __init__(self, message, sent):
        super().__init__(message)
        self.sent = sent


class BadDelivery(Exception):
    """Raised by verify_delivery: answer 401. reason: missing (a header), timestamp, signature or body."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


class AllDeaf(Exception):
    """All threads of a worker run handlers that were told to stop and did not: only a new process can go on."""


class PermanentError(Exception):
    """Raised by a handler: the attempt fails, and the task is not tried again."""

    def __init__(self, message, code="permanent"):
        super().__init__(message)
        self.code = code


class RetryAfter(Exception):
    """Raised by a handler: the attempt fails, and the next one comes after so many milliseconds instead of the task's backoff."""

    def __init__(self, milliseconds, message="to be tried again later", code="retry_after"):
        super().__init__(message)
        self.milliseconds = max(0, int(milliseconds))
        self.code = code


class Snooze(Exception):
    """Raised by a handler: run the task again after so many milliseconds. It counts as no failure."""

    def __init__(self, milliseconds, reason=""):
        super().__init__(reason or "snoozed")
        self.milliseconds = max(0, int(milliseconds))
        self.reason = reason


class Stopped(Exception):
    """The task was told to stop. code: cancelled, timeout, lost (another attempt may be running) or shutdown."""

    REASONS = {"cancelled": "the task was cancelled", "timeout": "the attempt took longer than timeout_ms",
               "lost": "the lease is lost: another attempt may be running", "shutdown": "the worker is shutting down"}

    def __init__(self, code):
        super().__init__(self.REASONS.get(code, "the task was told to stop: %s" % code))
        self.code = code


# Producers


class Client:
    """Submits tasks over HTTP, reads and controls them, follows them. It may be shared by threads."""

    def __init__(self, url=None, token=None, timeout=30, retries=4):
        """url and token default to SCHEDULER_URL and SCHEDULER_TOKEN; timeout, seconds, is for one request, beside what it waits."""
        self._http = _HTTP(url, token, timeout, retries)

    def close(self):
        """Closes idle connections. The client may be used again."""
        self._http.close()

    def submit(self, kind, payload=None, *, wait=0, request_id=None, traceparent=None, **more):
        """Submits a task and returns it once it is durable; with wait, seconds, as it is when it is done or they are over.

        more are the members of docs/reference/http.md: queue, priority, run_at, delay_ms, idempotency_key, … run_at and expires_at may be datetimes
        with a time zone. It is sent again after a lost answer only with an idempotency_key or a request_id."""
        headers = {"X-Request-ID": request_id, "traceparent": traceparent}
        body = {"kind": kind, "payload": {} if payload is None else payload, **_timed(more)}
        repeatable = bool(request_id or more.get("idempotency_key"))
        return self._http.call("POST", "/v1/tasks", body, headers, wait=min(wait, 60), repeatable=repeatable)

    def submit_many(self, tasks):
        """Submits up to 10,000 tasks, dicts with kind, payload, …, all or none; returns what became of each, in order."""
        if not tasks:
            return []
        repeatable = all(task.get("idempotency_key") for task in tasks)
        return self._http.call("POST", "/v1/tasks/batch", [_timed(task) for task in tasks], repeatable=repeatable)["items"]

    def task(self, id):
        return self._http.call("GET", _path(id))

    def wait(self, id, timeout=None):
        """The task once it is done, or as it is after timeout seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 30 if end is None else min(30, end - time.monotonic())
            task = self._http.call("GET", _path(id), wait=left)
            if task["done"] or end is not None and time.monotonic() >= end:
                return task

    def cancel(self, id, reason=None):
        """Cancels it; one that runs is asked to stop."""
        return self._http.call("POST", _path(id, "/cancel"), {"reason": reason} if reason else {})

    def retry(self, id):
        """Brings a failed or cancelled task back."""
        return self._http.call("POST", _path(id, "/retry"), {})

    def why(self, id):
        """Why it does not run: dicts with code, reason and fix, the reason to mend first on top."""
        return self._http.call("GET", _path(id, "/why"))["items"]

    def attempts(self, id):
        """Every start of it."""
        return self._http.call("GET", _path(id, "/attempts"))["items"]

    def logs(self, id, after=0, limit=200):
        """Up to limit lines of its log, those behind the line after."""
        return self._http.call("GET", _path(id, "/logs?after=%d&limit=%d" % (after, limit)))["items"]

    def publish(self, topic, payload=None, idempotency_key=None, *, request_id=None, traceparent=None):
        """Publishes to a topic: a task for each subscription that matches. Returns the message and its tasks. request_id, of the request's
        X-Request-ID, is the key of what has none."""
        path = "/v1/topics/%s/publish" % urllib.parse.quote(topic, safe="")
        body = {"payload": {} if payload is None else payload, **({"idempotency_key": idempotency_key} if idempotency_key else {})}
        headers = {"X-Request-ID": request_id, "traceparent": traceparent}
        return self._http.call("POST", path, body, headers, repeatable=bool(idempotency_key or request_id))

    def lease(self, token):
        """The right to end an attempt that was pushed and answered by 202: token is the delivery's "lease"."""
        return Lease(self._http, token)

    def call(self, method, path, body=None, *, headers=None, wait=0, repeatable=None):
        """One call, for what has no method here: the answer's body, parsed. repeatable: it does no harm twice; None: what only reads."""
        return self._http.call(method, path, body, headers, wait=wait, repeatable=repeatable)

    def watch(self, id, after=None, logs=True):
        """Follows a task live: yields (event, data) until it is done. Connections that break are opened again where they broke."""
        fruitless = 0
        while True:
            asked = 0
            try:
                for name, event_id, data in self._http.events(_path(id, "/events" + ("" if logs else "?logs=false")), after):
                    fruitless, after = 0, event_id or after
                    if name == "end":
                        return
                    yield name, json.loads(data)
                    after = event_id or after
            except _Finished:
                return
            except (ConnectionFailed, ProblemError) as error:
                fruitless += 1
                if fruitless > 10 or isinstance(error, ProblemError) and error.status < 500 and error.status != 429:
                    raise
                asked = getattr(error, "retry_after", None) or 0
            time.sleep(max(asked, 2 * random.uniform(0.75, 1.25)))


class Lease:
    """The right to end one attempt. Each call raises a ProblemError of the code lease_lost when the attempt is over by anybody else's doing."""

    def __init__(self, http, token):
        if not isinstance(token, str) or not token:
            raise TypeError("lease: the header Scheduler-Lease of a delivery is needed")
        self._http, self._path = http, "/v1/leases/%s/" % urllib.parse.quote(token, safe="")

    def complete(self, result=None):
        """The task is done. Returns its state."""
        return self._call("complete", {"result": result})["state"]

    def fail(self, error):
        """The attempt has failed, by a text, or by an exception, which means what it means in a handler: PermanentError, RetryAfter and Snooze too.
        Returns the task's state."""
        if not isinstance(error, BaseException):
            return self._call("fail", {"error": {"message": _storable(error)}})["state"]
        verb, fields = _failure(error, None, "".join(traceback.format_exception(type(error), error, error.__traceback__)))
        return self._call(verb, fields)["state"]

    def release(self, delay_ms=0, reason=""):
        """Hands the task back, at once or for later, which counts as no failure. Returns its state."""
        return self._call("release", {**({"delay_ms": delay_ms} if delay_ms else {}), **({"reason": _storable(reason)} if reason else {})})["state"]

    def heartbeat(self, progress=None, logs=None, checkpoint=None):
        """Says how the work goes on: progress is a dict of current, total, message, data; logs a list of lines. Returns a dict: "cancelled", when somebody
        asked to cancel the task (stop, and fail), and "expires_at"."""
        fields = {"progress": progress, "logs": logs and [_storable(line) for line in logs], "checkpoint": checkpoint}
        return self._call("heartbeat", {name: value for name, value in fields.items() if value is not None})

    def _call(self, verb, fields):
        return self._http.call("POST", self._path + verb, fields, repeatable=True)


def verify_delivery(body, headers, secrets, tolerance=300, now=None):
    """The task in a request that `scheduler worker --push` made, as a dict, with the header Scheduler-Lease as "lease". See docs/guides/push.md.

    body: as it came, to the last byte; headers: a mapping of names, in any case, to values; the environ of WSGI will do. secrets: whsec_…, or several while
    they are changed. Raises BadDelivery for what was not signed with one of them within tolerance, seconds, of now, and ValueError for what is no
    secret, as an empty one."""
    keys = [_delivery_key(secret) for secret in ([secrets] if isinstance(secrets, str) or secrets is None else secrets)]
    if not keys:
        raise ValueError("secrets: there is none")
    if isinstance(body, str):
        body = body.encode(errors="replace")
    given = {re.sub("^http-", "", name.lower().replace("_", "-")): value for name, value in headers.items() if isinstance(value, str)}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not given.get(name):
            raise BadDelivery("missing", "the request has no %s" % name)
    at = given["webhook-timestamp"]
    if not re.fullmatch("[0-9]{1,15}", at) or not abs((time.time() if now is None else now) - int(at)) <= tolerance:
        raise BadDelivery("timestamp", "the request was not made within %g s of now; is the clock right?" % tolerance)
    signed = False
    for key in keys:
        digest = hmac.new(key, ("%s.%s." % (given["webhook-id"], at)).encode(errors="replace") + body, hashlib.sha256).digest()
        mine = b"v1," + base64.b64encode(digest)
        for theirs in given["webhook-signature"].split(" "):
            signed = hmac.compare_digest(mine, theirs.encode(errors="replace")) or signed
    if not signed:
        raise BadDelivery("signature", "no signature of the request is by a secret of this endpoint")
    try:
        task = json.loads(body)
    except (ValueError, RecursionError):
        task = None
    if not isinstance(task, dict) or not isinstance(task.get("id"), str) or not isinstance(task.get("kind"), str):
        raise BadDelivery("body", "the body of the request is no task")
    return {**task, "lease": given.get("scheduler-lease", ""), "traceparent": given.get("traceparent")}


def _delivery_key(secret):
    text = secret[6:] if isinstance(secret, str) and secret.startswith("whsec_") else ""
    try:
        key = base64.b64decode(text.encode(), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64 or base64.b64encode(key).decode() != text:
        raise ValueError("secrets: whsec_ and the base64 of 24 to 64 bytes")
    return key


_TYPES = {"kind": "text", "payload": "jsonb", "queue": "text", "priority": "integer", "run_at": "timestamptz", "delay_ms": "bigint",
          "max_attempts": "integer", "timeout_ms": "bigint", "expires_at": "timestamptz", "unique_key": "text", "idempotency_key": "text",
          "backoff_ms": "bigint[]", "tags": "text[]", "traceparent": "text"}


def submit_tx(cursor, kind, payload=None, **more):
    """Submits a task in the transaction of a cursor (psycopg, or any with %s for arguments); returns its id."""
    given = {"kind": kind, "payload": json.dumps({} if payload is None else payload, allow_nan=False)}
    given.update((name, value) for name, value in _timed(more).items() if value is not None)
    for name in given:
        if name not in _TYPES:
            raise TypeError("%s: no argument of scheduler.submit, which has %s" % (name, ", ".join(_TYPES)))
    arguments = ", ".join("%s => %%s::%s" % (name, _TYPES[name]) for name in given)
    cursor.execute("select scheduler.submit(%s)" % arguments, list(given.values()))
    return str(cursor.fetchone()[0])


def publish_tx(cursor, topic, payload=None, idempotency_key=None, traceparent=None):
    """Publishes to a topic in the transaction of a cursor; returns the message's id."""
    cursor.execute("select scheduler.publish(%s::text, %s::jsonb, %s::text, %s::text)",
                   [topic, json.dumps({} if payload is None else payload, allow_nan=False), idempotency_key, traceparent])
    return str(cursor.fetchone()[0])


def _timed(fields):
    """Datetimes as the server reads them. One without a time zone means another time on each machine."""
    times = {}
    for name in ("run_at", "expires_at"):
        value = fields.get(name)
        if isinstance(value, datetime.datetime):
            if value.tzinfo is None:
                raise ValueError("%s: a datetime with a time zone, as datetime.now(timezone.utc)" % name)
            times[name] = value.isoformat()
    return {**fields, **times}


def _path(id, verb=""):
    return "/v1/tasks/%s%s" % (urllib.parse.quote(str(id), safe=""), verb)


# HTTP


class _Finished(Exception):
    """A stream has no more to say."""


class _HTTP:
    """The way to the server: requests, problems, repetitions. Connections are kept for what may be repeated."""

    MOST_IDLE = 8
    LONGEST_PAUSE = 5  # seconds

    def __init__(self, url, token, timeout, retries):
        url = url or os.environ.get("SCHEDULER_URL")
        if not url:
            raise TypeError("url: the address of the server is needed, here or as SCHEDULER_URL")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ValueError("url: %s is no address of a server, as http://127.0.0.1:8080" % _hidden(url))
        if parts.username is not None:
            raise ValueError("url: without user and password; the token is given as token, or SCHEDULER_TOKEN")
        self._tls, self._host, self._port, self._prefix = parts.scheme == "https", parts.hostname, parts.port, parts.path.rstrip("/")
        token = token or os.environ.get("SCHEDULER_TOKEN")
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("token: it has a character that no token has, such as a space or an end of line")
        self._headers = {"Authorization": "Bearer " + token} if token else {}
        self._timeout, self._retries, self._idle, self._process = timeout, retries, collections.deque(), os.getpid()
        self.address = "%s://%s%s" % (parts.scheme, parts.netloc, self._prefix)

    def close(self):
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def connection(self, timeout):
        make = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
        return make(self._host, self._port, timeout=timeout)

    def call(self, method, path, body=None, headers=None, wait=0, repeatable=None, retries=None, stop=None, using=None,
             timeout=None):
        """The body of the answer, parsed. body: or what returns it, asked anew for each request; stop: an Event that ends the repetitions;
        using: called with the connection that waits, and with None when it does no more; timeout: seconds for one request, if not the usual."""
        repeatable = method == "GET" if repeatable is None else repeatable
        text = body if body is None or callable(body) else _encode(body)
        headers = {name: value for name, value in (headers or {}).items() if value}
        if wait > 0:
            headers["Prefer"] = "wait=%d" % max(1, round(wait))
        attempt = 0
        while True:
            try:
                return self._once(method, path, text, headers, (timeout or self._timeout) + max(0, wait), repeatable, using)
            except (ConnectionFailed, ProblemError) as error:
                attempt += 1
                if attempt > (self._retries if retries is None else retries) or not _worthwhile(error, repeatable) or stop and stop.is_set():
                    raise
                asked = getattr(error, "retry_after", None)
                if asked and asked > self.LONGEST_PAUSE and not stop:
                    raise  # whoever called knows better what to do meanwhile
                pause = asked or min(5, 0.1 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)
            if stop:
                stop.wait(pause)
            else:
                time.sleep(pause)

    def _once(self, method, path, text, headers, timeout, repeatable, using):
        if self._process != os.getpid():  # a fork: connections are those of the process that it came from
            self._process = os.getpid()
            self.close()
        try:
            connection, kept = self._idle.pop() if repeatable else None, True
        except IndexError:
            connection = None
        if connection is None:
            connection, kept = self.connection(timeout), False
        else:
            connection.sock.settimeout(timeout)
        try:
            status, fields, answer, more = self._exchange(connection, method, path, _encode(text()) if callable(text) else text, headers, using)
        except ConnectionFailed as error:
            connection.close()
            if kept and error.sent:  # it may have been closed while idle, and the others with it
                self.close()
                return self._once(method, path, text, headers, timeout, repeatable, using)
            raise
        if using:
            using(None)
        if repeatable and more and len(self._idle) < self.MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        if status >= 300:
            raise _problem(status, fields, answer)
        try:
            return json.loads(answer) if answer else None
        except ValueError as error:
            raise ConnectionFailed("%s %s%s: the answer is no JSON: %s" % (method, self.address, path, error), True) from error

    def _exchange(self, connection, method, path, text, headers, using):
        response = self._begin(connection, method, path, text, headers, using)
        try:
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionFailed("%s %s%s: the answer broke off: %s" % (method, self.address, path, error), True) from error
        return response.status, response.headers, answer, not response.will_close

    def _begin(self, connection, method, path, text, headers, using=None):
        sent = connection.sock is not None
        try:
            if not sent:
                connection.connect()
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if using:
                using(connection)
            sent = True
            content = {} if text is None else {"Content-Type": "application/json"}
            try:
                connection.request(method, self._prefix + path, text, {**self._headers, **content, **headers})
            except OSError as error:  # an answer may be there all the same: the body too large, say
                return self._early(connection, error)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionFailed("%s %s%s: %s" % (method, self.address, path, error or type(error).__name__), sent) from error

    @staticmethod
    def _early(connection, error):
        try:
            response = connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise error
        response.will_close = True
        return response

    def events(self, path, after):
        """Yields (event, id, data) of one connection."""
        connection = self.connection(45)  # the server says something every 15 s
        try:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
            response = self._begin(connection, "GET", path, None, headers)
            if response.status == 204:
                raise _Finished
            if response.status != 200:
                raise _problem(response.status, response.headers, response.read())
            frame = {}
            for line in response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name in ("event", "id", "data"):
                    frame[name] = value
                elif not name and "event" in frame:
                    yield frame["event"], frame.get("id"), frame.get("data")
                    frame = {}
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionFailed("the stream broke off: %s" % error, True) from error
        finally:
            connection.close()


def _encode(value):
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which the server will refuse
        return json.dumps(value, allow_nan=False).encode()


def _hidden(url):
    """An address as messages may show it."""
    before, _, after = str(url).rpartition("@")
    return (before.partition("//")[0] + "//…@" + after if before else after)[:200]


def _problem(status, headers, answer):
    try:
        fields = json.loads(answer)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        fields = {"detail": answer[:500].decode(errors="replace").strip()}  # from a proxy in between
    if status < 400 and headers.get("Location"):
        detail = "the server redirects to %s; give the address behind it as url, or SCHEDULER_URL" % _hidden(headers["Location"])
        fields = {"code": "redirected", "detail": detail}
    error = ProblemError(status, fields)
    after = headers.get("Retry-After") or ""
    error.retry_after = min(60, int(after)) if after.isdigit() else None
    return error


def _worthwhile(error, repeatable):
    if isinstance(error, ConnectionFailed):
        return repeatable or not error.sent
    return repeatable and error.status in (408, 425, 429, 502, 503, 504)


def _storable(text):
    """A text that PostgreSQL can store."""
    return str(text).encode(errors="replace").decode().replace("\0", "\ufffd")


# Workers


class Task:
    """What a handler is given: the leased task's fields, as the wire names them, and what it may say."""

    id = queue = kind = payload = checkpoint = schedule = tick_at = traceparent = timeout_ms = run_at = created_at = None
    attempt = failures = max_attempts = priority = 0

    def __init__(self, fields, tell):
        self.__dict__.update((name, value) for name, value in fields.items() if not callable(getattr(Task, name, None)))  # a later server may have more
        self.stopping = threading.Event()
        self._tell = tell
        self._stopped = None

    def progress(self, current, total=None, message=None, data=None):
        """Reports how far it is; the last report counts. Raises Stopped once the task was told to stop."""
        self.check()
        report = {"current": round(current), "total": None if total is None else round(total),
                  "message": None if message is None else _storable(message),
                  "data": json.loads(_encode(data))}  # a copy, for it is sent later; what is no JSON is the handler's error, here and now
        self._tell("progress", {name: value for name, value in report.items() if value is not None})

    def log(self, message):
        """Writes a line to the task's log."""
        self._tell("log", _storable(message))

    def save_checkpoint(self, value):
        """Stores where the work has got to; the next attempt finds it as task.checkpoint. Returns once it is stored."""
        self.check()
        _encode(value)
        self._tell("checkpoint", value)
        self.checkpoint = value

    def check(self):
        """Raises Stopped once the task was told to stop: cancelled, out of time, lost, or at the end of a shutdown."""
        if self._stopped:
            raise self._stopped

    def sleep(self, seconds):
        """Sleeps, or raises Stopped as soon as the task is told to stop."""
        self.stopping.wait(seconds)
        self.check()

    def _stop(self, code):
        if not self._stopped:
            self._stopped = Stopped(code)
            self.stopping.set()


class Worker:
    """Runs tasks: as a child of scheduler worker --cmd, or with leases over HTTP."""

    def __init__(self, url=None, token=None, queues=("default",), concurrency=1, ttl_ms=60_000, drain_timeout=30, wait=20, name=None,
                 version="", log=None, grace=5, isolate=False):
        """concurrency: threads that run tasks. ttl_ms: of silence until the server gives its tasks to others, 5,000 to 86,400,000.
        drain_timeout, seconds: how long what runs may take to finish at a shutdown. log: called with lines about the worker itself.
        grace, seconds: how long a handler may go on once it was told to stop, until the task's end is told without it.
        isolate: each task runs in a process of its own, which is this program again, and is killed when it does not end in time."""
        if not 1 <= concurrency <= 500:
            raise ValueError("concurrency: 1 to 500 tasks at once")
        if not 5000 <= ttl_ms <= 86_400_000:
            raise ValueError("ttl_ms: 5000 to 86400000")
        if isinstance(queues, str) or not queues:
            raise ValueError("queues: a list of names")
        self._handlers = {}
        self._options = {"url": url, "token": token, "queues": list(queues), "concurrency": concurrency, "ttl_ms": ttl_ms, "wait": wait,
                         "drain_timeout": drain_timeout, "version": version, "log": log or _complain, "grace": grace, "isolate": isolate,
                         "name": name or "%s:%d" % (socket.gethostname(), os.getpid())}
        self._door = None
        self._told = 0  # signals
        self._ended = False  # by stop()

    def handle(self, kind, handler=None):
        """Says what runs the tasks of a kind; as a decorator, or with the function. What it returns is the result."""
        if handler is None:
            return lambda function: self.handle(kind, function)
        if kind in self._handlers:
            raise ValueError("%s: there is a handler already" % kind)
        self._handlers[kind] = handler
        return handler

    def run(self):
        """Works until SIGTERM, SIGINT or stop(), or until the server or the parent says so; then lets running tasks finish."""
        if not self._handlers:
            raise ValueError("there are no handlers")
        children = None
        if os.environ.get("SCHEDULER_FD"):
            self._door = _Frames(self._handlers, self._options)
        elif self._options["isolate"]:
            children = _Children(self._options)
            self._door = _Leases(dict.fromkeys(self._handlers, children.handler), {**self._options, "grace": self._options["grace"] + 5})
        else:
            self._door = _Leases(self._handlers, self._options)
        if self._ended:  # before there was a door
            self._door.stop()
        before = {}
        on_signal = self._on_signal
        if os.environ.get("SCHEDULER_FD") and os.environ.get("SCHEDULER_ORPHAN") == "exit":
            # Its worker may have been sent it too, and has to hand out what it took: it ends its children itself.
            on_signal = lambda *_: None  # noqa: E731; not SIG_IGN, which programs that a handler starts would inherit
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                before[number] = signal.signal(number, on_signal)
        try:
            if children:
                children.start()
            self._door.run()
        finally:
            self._ended = False
            if children:
                children.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self):
        """Takes nothing more and lets run() return once what runs is done; at once, if it was not called yet."""
        self._ended = True
        if self._door:
            self._door.stop()

    @property
    def deaf(self):
        """Handlers that run on although they were told to stop, and keep their threads."""
        return getattr(self._door, "deaf", 0)

    def _on_signal(self, *_):
        self._told += 1
        if self._told > 1:
            self._door.abort()  # and no stop(): the first one may be in the middle of it, on this same thread, with its lock
        else:
            self._door.stop()


def _complain(line):
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # whoever read it is gone: no reason to leave tasks in the lurch
        pass


def _perform(task, handlers):
    """Runs the handler and returns how it ended: an op and its fields."""
    try:
        handler = handlers.get(task.kind)
        if handler is None:
            raise _Unknown("this worker has no handler for %s" % task.kind)
        result = handler(task)
        try:
            _encode(result)
        except (TypeError, ValueError, RecursionError) as error:
            return "fail", {"error": {"code": "bad_result", "message": _storable(error), "stack": ""}, "retryable": False}
        return "complete", {"result": result}
    except BaseException as error:  # SystemExit of a handler is a failure of its task
        return _failure(error, task._stopped, traceback.format_exc())
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass


class _Unknown(Exception):
    code = "unknown_kind"


def _failure(error, stopped, stack):
    if stopped and stopped.code == "lost":
        return "lost", {}
    if stopped and stopped.code == "shutdown":
        return "release", {"reason": "shutdown"}
    if isinstance(error, _Ended) and not stopped:
        return error.outcome
    if isinstance(error, Snooze) and not stopped:
        return "release", {"delay_ms": error.milliseconds, "reason": _storable(error.reason)}
    code = stopped.code if stopped else getattr(error, "code", None)
    if not isinstance(code, str) or not code:
        code = type(error).__name__
    fields = {"error": {"code": _storable(code), "message": _storable(error) or type(error).__name__, "stack": _storable(stack)},
              "retryable": not isinstance(error, PermanentError)}
    if isinstance(error, RetryAfter):
        fields["retry_after_ms"] = error.milliseconds
    return "fail", fields


def _stopped(door):
    """Waits for stop(). Not by Event.wait, whose lock a signal's handler, on the same thread, would wait for in vain."""
    while not door.draining.is_set():
        try:
            door._wake.get(timeout=1)
        except queue.Empty:
            pass


class _Frames:
    """A child of scheduler worker --cmd: frames on stdin, frames on the descriptor SCHEDULER_FD. See docs/child.md."""

    def __init__(self, handlers, options):
        self._handlers, self._slots, self._log = handlers, 1 if options["isolate"] else options["concurrency"], options["log"]
        self._out = os.fdopen(int(os.environ["SCHEDULER_FD"]), "wb", buffering=0)
        self._speaking = threading.Lock()
        self._running = {}  # tasks by id
        self._saved = {}  # queues of answers to checkpoints
        self._tasks = queue.SimpleQueue()
        self._wake = queue.SimpleQueue()
        self._dismissed = self._aborted = False  # by a frame; by a second signal
        self._giving, self._closed = threading.Lock(), False  # closed: the threads get no further task
        self.draining = threading.Event()

    def run(self):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
        self._say({"op": "ready", "v": 1, "kinds": list(self._handlers), "slots": self._slots, "language": "python " + platform.python_version()})
        threading.Thread(target=self._listen, daemon=True).start()
        threads = [threading.Thread(target=self._work) for _ in range(self._slots)]
        for thread in threads:
            thread.start()
        _stopped(self)
        with self._giving:
            self._closed = True
            for _ in threads:
                self._tasks.put(None)
        for thread in threads:
            thread.join()

    def stop(self):
        self.draining.set()
        self._wake.put(None)

    def abort(self):
        """Ends what runs, to be run again at once."""
        self._aborted = True
        for task in list(self._running.values()):
            task._stop("shutdown")

    def _listen(self):
        rest = []
        while True:
            chunk = os.read(0, 1 << 16)  # not sys.stdin: its lock would be held when the interpreter ends
            if not chunk:
                if os.environ.get("SCHEDULER_ORPHAN") == "exit" and not self._dismissed:
                    os._exit(1)  # the parent was killed, and has the lease no more
                return self.stop()
            first, *lines = chunk.split(b"\n")
            rest.append(first)
            for line in lines:
                self._hear(b"".join(rest))
                rest = [line]

    def _hear(self, line):
        try:
            self._obey(json.loads(line))
        except Exception as error:  # the next line may be better
            self._log("a frame that can't be understood: %s" % error)

    def _obey(self, frame):
        op, id = frame.get("op"), frame.get("id")
        if op == "drain":
            self._dismissed = True
            self.stop()
        elif op == "task":
            self._take(frame["task"])
        elif op == "cancel" and id in self._running:
            self._running[id]._stop(frame.get("reason") or "cancelled")
            if id in self._saved:
                self._saved[id].put(self._running[id]._stopped)
        elif op == "saved" and id in self._saved:
            self._saved[id].put(ValueError("the checkpoint was refused: %s" % (frame["error"],)) if frame.get("error") else True)

    def _take(self, fields):
        task = Task(fields, lambda verb, what: self._tell(task, verb, what))
        with self._giving:
            if not self._closed:
                self._running[task.id] = task
                self._tasks.put(task)
                return
        self._say({"op": "snooze", "id": task.id, "delay_ms": 0, "reason": "the process ends", "ends": True})

    def _work(self):
        while True:
            task = self._tasks.get()
            if task is None:
                return
            op, fields = _perform(task, self._handlers)
            self._running.pop(task.id, None)
            self._saved.pop(task.id, None)
            ends = {"ends": True} if self.draining.is_set() and not self._dismissed else {}  # told by a signal, of which the parent knows nothing
            self._say({**self._outcome(task.id, op, fields), **ends})

    def _outcome(self, id, op, fields):
        if op == "complete":
            return {"op": "result", "id": id, **fields}
        if op == "release" and ("delay_ms" in fields or self._aborted):
            return {"op": "snooze", "id": id, "delay_ms": 0, **fields}
        if op == "fail":
            more = {name: fields[name] for name in ("retryable", "retry_after_ms") if name in fields}
            return {"op": "error", "id": id, **fields["error"], **more, "permanent": not fields["retryable"]}
        return {"op": "error", "id": id, "code": "lost" if op == "lost" else "shutdown", "message": fields.get("reason", op)}

    def _tell(self, task, verb, what):
        if verb == "progress":
            self._say({"op": "progress", "id": task.id, **what})
        elif verb == "log":
            self._say({"op": "log", "id": task.id, "message": what})
        else:
            answers = self._saved.setdefault(task.id, queue.SimpleQueue())
            self._say({"op": "checkpoint", "id": task.id, "checkpoint": what})
            answer = task._stopped or answers.get()
            if answer is not True:
                raise answer

    def _say(self, frame):
        line = memoryview(_encode(frame) + b"\n")
        with self._speaking:
            try:
                while line:
                    line = line[self._out.write(line):]
            except BrokenPipeError:
                os._exit(1)  # the parent is gone


class _Ended(Exception):
    """How an attempt ended in another process."""

    def __init__(self, op, fields):
        super().__init__(fields.get("error", fields).get("message", op))
        self.outcome = op, fields


class _Crashed(Exception):
    code = "worker_crashed"


class _Children:
    """Handlers in processes of their own, one task at a time each: what does not end when it is told to is killed, and only its own task
    ends with it."""

    END = 5  # seconds that a process has to end once nothing is left for it to do
    STARTS = 3  # of processes until a task fails because none comes up

    def __init__(self, options):
        self._options, self._lock, self._idle, self._all = options, threading.Lock(), [], set()

    def start(self):
        """A program that does not come up takes no task."""
        self._idle = [self._child() for _ in range(self._options["concurrency"])]
        self._idle[-1].ready()

    def handler(self, task):
        child = self._ready(task)
        try:
            return child.run(task, self._options["grace"])
        finally:
            self._back(child)

    def _back(self, child):
        with self._lock:
            if child.alive and not child.ends:
                self._idle.append(child)
        if child.alive and child.ends:
            threading.Thread(target=self._retire, args=(child,), daemon=True).start()
        elif not child.alive:
            self._all.discard(child)

    def _ready(self, task):
        """A child that takes the task: one that is idle and well, or a new one. Raises Stopped when the task is told to end before."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        for left in reversed(range(self.STARTS)):
            if child is None or child.gone():  # somebody else ended it
                self._all.discard(child)
                child = self._child()
            try:
                child.ready(task)
                return child
            except Stopped:  # the child may come up for another
                self._back(child)
                raise
            except _Crashed:  # it has no task yet, so none has to suffer for it
                self._all.discard(child)
                if not left:
                    raise

    def _retire(self, child):
        child.leave()
        child.end(self.END)
        self._all.discard(child)

    def close(self):
        children = list(self._all)
        for child in children:
            child.leave()
        for child in children:
            child.end(self.END)

    def _child(self):
        child = _Child(self._options["log"])
        with self._lock:
            self._all.add(child)
        return child


class _Child:
    """This same program again, which speaks frames with this process. Used by one thread at a time."""

    BOOT = 30  # seconds until it must be ready
    LONGEST = 8192  # characters of a line of output that are kept
    MOST_CHUNKS = 16  # read at once, many times what a pipe holds: who prints faster than is read must not keep this from all else

    def __init__(self, log):
        frames, write = os.pipe()
        program = [sys.executable, *getattr(sys, "orig_argv", ["", *sys.argv])[1:]]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, pass_fds=[write],
                                         env={**os.environ, "SCHEDULER_FD": str(write), "SCHEDULER_ORPHAN": "exit"}, start_new_session=True)
        os.close(write)
        self.ends = False  # it said that it ends: it gets no further task
        self._closing = threading.Lock()
        self.alive, self._ready, self._log, self._last, self._task = True, False, log, "", None
        self._selector, self._rests = selectors.DefaultSelector(), {}
        for name, fd in (("frames", frames), ("stdout", self._process.stdout.fileno()), ("stderr", self._process.stderr.fileno())):
            os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ, name)
            self._rests[name] = b""
        self._frames = frames

    def ready(self, task=None):
        """Waits until it is ready, no longer than until the task is told to end."""
        end = time.monotonic() + self.BOOT
        while not self._ready:
            if task:
                task.check()
            self._listen()
            if time.monotonic() > end:
                self._over("it was not ready in time")
        if task:
            task.check()

    def run(self, task, grace):
        self._read("stdout"), self._read("stderr")  # what was said before is no task's
        self._task = task
        told = None
        try:
            self._send({"op": "task", "task": {name: value for name, value in vars(task).items() if name[0] != "_" and name != "stopping"}})
            while True:
                for frame in self._listen():
                    if self._obey(task, frame):
                        return frame.get("result")
                if task.stopping.is_set() and told is None:
                    told = time.monotonic()
                    self._send({"op": "cancel", "id": task.id, "reason": task._stopped.code})
                if told is not None and time.monotonic() > told + grace:
                    self.end(0)
                    raise task._stopped
        finally:
            self._task = None

    def gone(self):
        if self._process.poll() is not None:
            self.end(0)
        return not self.alive

    def leave(self):
        try:
            self._process.stdin.write(b'{"op":"drain"}\n')
            self._process.stdin.close()
        except (OSError, ValueError):
            pass

    def end(self, patience):
        """Waits so many seconds for the end, and kills what is still there of it."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except OSError:
            pass
        status = self._process.wait()
        with self._closing:
            if self.alive:
                self.alive = False
                self._selector.close()
                os.close(self._frames)
                for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                    try:
                        stream.close()
                    except OSError:
                        pass
        return status

    def _over(self, how=None):
        status = self.end(0 if how else 1)
        how = how or ("killed by signal %d" % -status if status < 0 else "exit code %d" % status)
        raise _Crashed("the process for tasks ended: %s%s" % (how, ": " + self._last if self._last else ""))

    def _listen(self):
        """The frames that came, after what was printed before them."""
        dead = not self._selector.select(0.1) and self._process.poll() is not None  # a fork of it may hold its pipes open
        frames = self._read("frames")
        self._read("stdout"), self._read("stderr")
        if frames is None or dead and not frames:
            self._over()
        heard = []
        for line in frames:
            try:
                frame = json.loads(line)
            except ValueError:
                continue
            if isinstance(frame, dict):
                self._ready = self._ready or frame.get("op") == "ready"
                heard.append(frame)
        return heard

    def _read(self, name):
        """Whole lines; None at the end of what is to be read."""
        fd = self._frames if name == "frames" else getattr(self._process, name).fileno()
        chunks = []
        try:
            while len(chunks) < self.MOST_CHUNKS:
                chunk = os.read(fd, 1 << 16)
                if not chunk:
                    if name == "frames" and not chunks:
                        return None
                    break
                chunks.append(chunk)
        except BlockingIOError:
            pass
        *lines, self._rests[name] = (self._rests[name] + b"".join(chunks)).split(b"\n")
        if name != "frames":
            for line in lines:
                self._print(name, line.decode(errors="replace")[:self.LONGEST])
        return lines

    def _print(self, name, line):
        self._last = line if name == "stderr" else self._last
        if self._task is not None:
            self._task.log(line)
        else:
            self._log(line)

    def _send(self, frame):
        try:
            line = memoryview(_encode(frame) + b"\n")
            while line:
                line = line[self._process.stdin.write(line):]
        except BrokenPipeError:
            self._over()

    def _obey(self, task, frame):
        """Whether it is the task's result."""
        op = frame.get("op")
        if frame.get("id") != task.id:
            return False
        self.ends = self.ends or frame.get("ends") is True
        if op == "progress":
            try:
                task.progress(frame.get("current", 0), frame.get("total"), frame.get("message"), frame.get("data"))
            except Stopped:
                pass
        elif op == "log":
            task.log(frame.get("message", ""))
        elif op == "checkpoint":
            answer = {"op": "saved", "id": task.id}
            try:
                task.save_checkpoint(frame.get("checkpoint"))
            except (Stopped, ConnectionFailed, ProblemError) as error:
                answer["error"] = str(error)
            self._send(answer)
        elif op == "snooze":
            raise _Ended("release", {"delay_ms": frame.get("delay_ms", 0), "reason": frame.get("reason", "")})
        elif op == "error":
            error = {name: frame.get(name, "") for name in ("code", "message", "stack")}
            fields = {"error": error, "retryable": frame.get("retryable", True)}
            raise _Ended("fail", {**fields, **({"retry_after_ms": frame["retry_after_ms"]} if "retry_after_ms" in frame else {})})
        return op == "result"


class _Leases:
    """A worker that takes leases over HTTP. See docs/guides/http-workers.md."""

    LOOK = 0.25  # seconds between two looks at each handler
    LONGEST_PAUSE = 5  # seconds between two calls for tasks while they fail
    HOPELESS = (400, 401, 403, 413, 415, 422)  # statuses of a call for tasks that will not get better
    MOST_LINES = 1000  # of one request
    MOST_PENDING = 10_000  # lines of an attempt that the server has not taken yet
    UNTAKEN = (400, 413, 422)  # statuses that blame what was said; all others blame the server, or what is in between
    MOST_REFUSALS = 10  # of an outcome or a checkpoint, for other reasons than these, in a row

    def __init__(self, handlers, options):
        self._handlers, self._options, self._log = handlers, options, options["log"]
        self._http = _HTTP(options["url"], options["token"], 30, 4)
        self._id = str(uuid.uuid4())  # fresh for each run of the process
        self._ttl, self.grace = options["ttl_ms"] / 1000, options["grace"]
        self.deaf = 0  # threads whose handlers run on although they were told to stop
        self._troubles, self._said = 0, ""  # calls for tasks in a row that failed, and what about them was said
        self._held = {}  # attempts by lease
        self._changed = threading.Condition()
        self._busy = 0  # threads that run handlers, whatever became of their leases
        self._renewed = time.monotonic()  # when the last call was sent that kept the leases alive
        self._polling = None  # the connection that waits
        self._asking = False  # a call for tasks is under way, and what it brings has not been begun
        self._aborting = False
        self._failed = None
        self._gone = threading.Event()  # no time is left to deliver anything
        self._over = threading.Event()
        self._wake = queue.SimpleQueue()
        self.draining = threading.Event()

    def run(self):
        for loop in (self._take, self._beat, self._watch, self._report):
            threading.Thread(target=self._loop, args=(loop,), daemon=True).start()
        _stopped(self)
        self._drain()
        self._over.set()
        try:
            self._http.call("DELETE", "/v1/workers/" + self._id, repeatable=True, retries=2)
        except (ConnectionFailed, ProblemError) as error:
            self._log("deregister: %s" % error)
        self._http.close()
        if self._failed:
            raise self._failed

    def _loop(self, loop):
        """Without one of its threads a worker is of no use: it ends, and run() raises what happened."""
        try:
            loop()
        except Exception as error:
            self._failed = self._failed or error
            self.stop()

    def stop(self):
        self.draining.set()
        self._wake.put(None)
        polling = self._polling
        try:
            if polling and polling.sock:
                polling.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits
        except OSError:
            pass

    def abort(self):
        """Ends what runs and hands it back."""
        self._aborting = True  # also what was taken and not begun
        for attempt in list(self._held.values()):
            attempt.task._stop("shutdown")

    def _drain(self):
        end = time.monotonic() + self._options["drain_timeout"]
        while self._asking or self._held:  # in this order: it brings what is held
            with self._changed:
                self._changed.wait(0.2)
            if self._aborting or time.monotonic() > end:
                self.abort()
            if time.monotonic() > end + self.grace + 5:
                self._gone.set()
                return

    def _take(self):
        while not self.draining.is_set():
            with self._changed:
                while self._busy >= self._options["concurrency"]:
                    self._changed.wait()
                free = self._options["concurrency"] - self._busy
            try:
                state = self._ask(free)
            except (ConnectionFailed, ProblemError) as error:
                if self.draining.is_set():
                    return
                if isinstance(error, ProblemError) and (error.status < 400 or error.status in self.HOPELESS):
                    self._failed = error
                    return self.stop()
                self._trouble(error)
                continue
            finally:
                self._asking, self._polling = False, None
            if state == "quiet":
                self.draining.wait(min(2, self._ttl / 3))
            self._obey(state)

    def _ask(self, free):
        """Calls for tasks once, begins them, and returns what the worker is to do."""
        options = self._options
        body = {"worker": {"id": self._id, "name": options["name"], "version": options["version"], "host": socket.gethostname(),
                           "pid": os.getpid(), "language": "python " + platform.python_version(), "slots": options["concurrency"]},
                "queues": options["queues"], "kinds": list(self._handlers), "max": min(500, free), "ttl_ms": options["ttl_ms"],
                "held": list(self._held)}
        sent = time.monotonic()
        answer = self._http.call("POST", "/v1/leases", body, wait=options["wait"], repeatable=True, stop=self.draining, retries=0, using=self._poll)
        self.need(answer, "leases", "worker")
        if self._said:
            self._log("lease: the server answers again")
        self._troubles, self._said = 0, ""
        self._renewed = max(self._renewed, sent, time.monotonic() - self._ttl / 3)  # the server kept the worker alive while it waited
        for leased in answer["leases"]:
            attempt = _Attempt(self, leased["lease"], leased["task"])
            self._held[leased["lease"]] = attempt
            with self._changed:
                self._busy += 1
            threading.Thread(target=attempt.run, daemon=True).start()
        return answer["worker"]["state"]

    def _trouble(self, error):
        """Says what is wrong with the server, not again and again, and waits."""
        what = "%s says: %s" % (self._http.address, error) if isinstance(error, ProblemError) else str(error)
        if what != self._said:
            self._said = what
            self._log("lease: %s; trying again" % what)
        pause = min(self.LONGEST_PAUSE, 0.25 * 2 ** min(self._troubles, 10)) * random.uniform(0.5, 1)
        self._troubles += 1
        self.draining.wait(max(pause, getattr(error, "retry_after", None) or 0))

    def need(self, answer, *names):
        if not isinstance(answer, dict) or any(name not in answer for name in names):
            raise ConnectionFailed("what answers at %s is no scheduler" % self._http.address, True)

    def _poll(self, connection):
        """Before a call for tasks: from here on stop() can wake it, and _drain waits for it. Afterwards: the connection may be anybody's."""
        self._polling = connection
        if connection:
            self._asking = True
            if self.draining.is_set():
                raise ConnectionFailed("the worker ends", False)

    def _obey(self, state):
        if state == "stop":
            self.stop()

    def _beat(self):
        """One heartbeat for all leases. Without one for the whole of their time they are somebody else's."""
        while not self._over.wait(self._ttl / 3):
            held = dict(self._held)
            if not held:
                continue
            sent = time.monotonic()
            try:
                answer = self._http.call("POST", "/v1/workers/%s/heartbeat" % self._id, self._all, repeatable=True, retries=1,
                                         timeout=min(30, max(5, self._ttl / 3)))
                self.need(answer, "state", "cancelled", "lost")
            except (ConnectionFailed, ProblemError) as error:
                self._log("heartbeat: %s" % error)
                if time.monotonic() - self._renewed > self._ttl * 0.9:
                    for attempt in held.values():
                        attempt.task._stop("lost")
                continue
            held.update(self._held)
            self._renewed = max(self._renewed, sent)
            for code in ("cancelled", "lost"):
                for lease in answer[code]:
                    if lease in held:
                        held[lease].task._stop(code)
            self._obey(answer["state"])

    def _all(self):
        """A heartbeat as of now. A lease that it does not name is handed back when it is older than 10 s, as a repetition may find it."""
        return {"leases": list(self._held), **_memory()}

    def _watch(self):
        """Ends what takes too long, and speaks for handlers that are deaf. It waits for no answer."""
        while not self._over.wait(self.LOOK):
            for attempt in list(self._held.values()):
                attempt.look()

    def _report(self):
        """Sends what handlers said."""
        while not self._over.wait(0.25):
            for attempt in list(self._held.values()):
                attempt.report()

    def send(self, lease, op, fields):
        refusals = 0
        report = op == "heartbeat" and "checkpoint" not in fields
        while True:
            try:
                answer = self._http.call("POST", "/v1/leases/%s/%s" % (lease, op), fields, repeatable=True, retries=sys.maxsize, stop=self._gone)
                break
            except ProblemError as error:
                refusals += 1
                if report or error.status in (409, *self.UNTAKEN) or refusals > self.MOST_REFUSALS or self._gone.is_set():
                    raise
                self._log("%s: %s; trying again" % (op, error))  # work that is done is not given up for a proxy that starts
            self._gone.wait(min(self.LONGEST_PAUSE, 0.25 * 2 ** refusals) * random.uniform(0.5, 1))
        self.need(answer, "state", *(["cancelled"] if op == "heartbeat" else []))
        return answer

    def freed(self, lease, thread_ended):
        self._held.pop(lease, None)
        with self._changed:
            self._busy -= thread_ended
            self._changed.notify_all()

    def outlasted(self, task, change):
        """A handler that did not hear keeps its thread, or has ended at last. When all do, only a new process can help."""
        with self._changed:
            self.deaf += change
            deaf = self.deaf
        what = "deaf: the handler of task %s (%s) " % (task.id, task.kind)
        if change < 0:
            return self._log(what + "has ended at last")
        every = self._options["concurrency"]
        self._log(what + "goes on although it was told to stop (%s); it keeps its thread until it ends; %d of %d threads are lost so"
                  % (task._stopped.code, deaf, every))
        if deaf == every and not self.draining.is_set():
            self._failed = AllDeaf("all %d threads run handlers that were told to stop and did not: a new process is needed" % every)
            self.stop()


class _Attempt:
    """A lease and the thread that works on it."""

    def __init__(self, door, lease, fields):
        self._door, self._lease = door, lease
        self.task = Task(fields, self._tell)
        self._saying = threading.RLock()  # one request at a time
        self._noting = threading.Lock()  # guards the next two
        self._lines, self._progress = [], None
        self._report_at = 0  # no report before that
        self._ended = self._given_up = False
        self._over = self._deaf = False  # the handler has returned; it had not when somebody spoke for it. Guarded by _noting
        self._looks = 0  # since it was told to stop: a process that was held up gives its handlers the same time as any
        limit = fields.get("timeout_ms")
        self._until = time.monotonic() + limit / 1000 if limit else None

    def run(self):
        try:
            op, fields = _perform(self.task, self._door._handlers)
            with self._noting:
                self._over = True
            self._end(op, fields)
        finally:
            if self._deaf:
                self._door.outlasted(self.task, -1)
            self._door.freed(self._lease, True)

    def look(self):
        now = time.monotonic()
        if self._until and now > self._until:
            self.task._stop("timeout")
        if self.task._stopped and not self._ended and not self._over:
            if self._looks * self._door.LOOK > self._door.grace and not self._given_up:
                self._given_up = True
                threading.Thread(target=self._give_up, daemon=True).start()
            self._looks += 1

    def report(self):
        if time.monotonic() < self._report_at or not (self._lines or self._progress) or self._ended:
            return
        if self._saying.acquire(blocking=False):
            try:
                if not self._ended:
                    self._send_news("heartbeat", {})
            except (ConnectionFailed, ProblemError) as error:
                self._report_at = time.monotonic() + self._door.LONGEST_PAUSE
                if not self.task._stopped:
                    self._door._log("report task %s: %s" % (self.task.id, error))
            finally:
                self._saying.release()

    def _give_up(self):
        stopped = self.task._stopped
        with self._saying:
            if self._over:  # meanwhile: it speaks for itself
                return
            self._end(*_failure(stopped, stopped, ""))
        with self._noting:
            self._deaf = not self._over
        if self._deaf:
            self._door.outlasted(self.task, 1)
        self._door.freed(self._lease, False)

    def _tell(self, verb, what):
        if verb == "checkpoint":
            with self._saying:
                self._send_news("heartbeat", {"checkpoint": what})
            self.task.check()
            return
        with self._noting:
            if verb == "progress":
                self._progress = what
            elif len(self._lines) < self._door.MOST_PENDING:
                self._lines.append({"message": what})

    def _news(self):
        """What was said and not sent, as fields of a request."""
        with self._noting:
            lines, self._lines = self._lines[:self._door.MOST_LINES], self._lines[self._door.MOST_LINES:]
            progress, self._progress = self._progress, None
        return {**({"logs": lines} if lines else {}), **({"progress": progress} if progress else {})}

    def _send_news(self, op, fields):
        """Sends what was said along. Where the server does not take that, it is left out; but it is kept if something else is to blame."""
        news = self._news()
        said, untaken = dict(news), None
        while True:
            try:
                answer = self._send(op, {**fields, **said})
                break
            except ProblemError as error:
                if not fields and len(said) < 2 and error.status in self._door.UNTAKEN:
                    raise
                if not said or error.status not in self._door.UNTAKEN:
                    self._keep(said or news)
                    raise
                untaken = error
                said.pop("progress" if "progress" in said else "logs")
        if untaken:
            self._door._log("report task %s: %s" % (self.task.id, untaken))
        return answer

    def _keep(self, news):
        with self._noting:
            self._lines[:0] = news.get("logs", [])
            self._progress = self._progress or news.get("progress")

    def _send(self, op, fields):
        try:
            answer = self._door.send(self._lease, op, fields)
        except ProblemError as error:
            if error.code == "lease_lost":
                self.task._stop("lost")
            raise
        if op == "heartbeat":
            if answer["cancelled"]:
                self.task._stop("cancelled")
            self._door._obey(answer["state"])

    def _end(self, op, fields):
        with self._saying:
            if self._ended:
                return
            self._ended = True
            if op == "lost":
                return
            try:
                while len(self._lines) > self._door.MOST_LINES:
                    self._send_lines()
                self._send_news(op, fields)
            except (ConnectionFailed, ProblemError) as error:
                self._refused(error)

    def _send_lines(self):
        try:
            self._send_news("heartbeat", {})
        except ProblemError as error:
            if error.code == "lease_lost":
                raise
            self._door._log("report task %s: %s" % (self.task.id, error))
            if error.status not in self._door.UNTAKEN:  # they were kept, and there is no time left for them
                self._news()

    def _refused(self, error):
        """An outcome that the server does not take is a failure, unless nothing counts any more."""
        self._door._log("end task %s: %s" % (self.task.id, error))
        if not isinstance(error, ProblemError) or error.code == "lease_lost" or self._door._gone.is_set():
            return
        never = error.status in self._door.UNTAKEN
        try:
            self._send_news("fail", {"error": {"code": "bad_result" if never else "not_stored", "message": _storable(error), "stack": ""},
                                     "retryable": not never})
        except (ConnectionFailed, ProblemError) as again:
            self._door._log("fail task %s: %s" % (self.task.id, again))


def _memory():
    try:
        with open("/proc/self/statm") as file:
            return {"memory_bytes": int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")}
    except (OSError, ValueError, IndexError):
        return {}
