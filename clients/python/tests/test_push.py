import datetime
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from pgscheduler import BadDelivery, Client, ConnectionFailed, PermanentError, ProblemError, RetryAfter, Snooze, submit_tx, verify_delivery  # noqa: E402
from test_pgscheduler import CUT, Fake  # noqa: E402

VECTORS = json.loads((pathlib.Path(__file__).parents[3] / "conformance" / "deliveries.json").read_text(encoding="utf-8"))
NOW = VECTORS["now"]


class DeliveryTest(unittest.TestCase):
    """Holds verify_delivery to the vectors that every language reads."""

    def test_valid(self):
        self.assertGreaterEqual(len(VECTORS["valid"]), 10)
        for v in VECTORS["valid"]:
            for body in (v["body"], v["body"].encode()):
                with self.subTest(v["name"]):
                    got = verify_delivery(body, v["headers"], v["secrets"], now=NOW)
                    self.assertEqual(got, {**json.loads(v["body"]), "lease": "AQ-lease", "traceparent": None})

    def test_invalid(self):
        self.assertGreaterEqual(len(VECTORS["invalid"]), 25)
        for v in VECTORS["invalid"]:
            with self.subTest(v["name"]):
                with self.assertRaises(BadDelivery) as caught:
                    verify_delivery(v["body"], v["headers"], v["secrets"], now=NOW)
                self.assertEqual(caught.exception.reason, v["reason"])

    def test_what_is_no_secret_is_the_receivers_fault(self):
        v = VECTORS["valid"][0]
        for bad in [*VECTORS["bad_secrets"], None, [], [7], [*v["secrets"], ""]]:
            with self.subTest(repr(bad)), self.assertRaises(ValueError):
                verify_delivery(v["body"], v["headers"], bad, now=NOW)

    def test_one_secret_headers_and_the_clock(self):
        v = VECTORS["valid"][0]
        got = verify_delivery(v["body"], {**v["headers"], "traceparent": "00-x", "wsgi.input": object()}, v["secrets"][0], tolerance=1e12)
        self.assertEqual((got["kind"], got["traceparent"]), ("mail.send", "00-x"))
        with self.assertRaises(BadDelivery) as caught:
            verify_delivery(b"{\xff}", v["headers"], v["secrets"], now=NOW)
        self.assertEqual(caught.exception.reason, "signature")
        with self.assertRaises(BadDelivery) as caught:
            verify_delivery(v["body"], v["headers"], v["secrets"], float("nan"), NOW)
        self.assertEqual(caught.exception.reason, "timestamp")

    def test_what_a_stranger_sends_is_never_the_receivers_fault(self):
        v = VECTORS["valid"][0]
        for name in ("webhook-id", "webhook-signature"):  # as some frameworks hand over bytes that are no UTF-8
            with self.subTest(name), self.assertRaises(BadDelivery) as caught:
                verify_delivery(v["body"], {**v["headers"], name: "\udcff"}, v["secrets"], now=NOW)
            self.assertEqual(caught.exception.reason, "signature")
        with self.assertRaises(BadDelivery):
            verify_delivery(v["body"] + "\udcff", v["headers"], v["secrets"], now=NOW)


class Asking(unittest.TestCase):
    def client(self, answer):
        fake = Fake(self, answer)
        client = Client(fake.url, "secret")
        self.addCleanup(client.close)
        return client, fake.requests


class LeaseTest(Asking):
    def test_a_lease_is_ended_as_a_handler_would_end_it(self):
        client, requests = self.client(lambda request, n: (200, {"state": "run", "cancelled": True, "expires_at": "x"} if request["path"].endswith("beat") else {"state": "completed"}))
        lease = client.lease("AQ/1")
        self.assertTrue(lease.heartbeat({"current": 1}, ["a\0"], {"row": 7})["cancelled"])
        self.assertEqual(lease.complete({"sent": 3}), "completed")
        lease.complete()
        for error in (PermanentError("never", "bad"), RetryAfter(5, "later"), Snooze(7, "not at night"), "a text"):
            lease.fail(error)
        lease.release()
        lease.release(1, "busy")
        said = [(r["path"][len("/v1/leases/AQ%2F1/"):], r["body"]) for r in requests]
        for _, body in said:
            body.get("error", {}).pop("stack", None)
        self.assertEqual(said, [
            ("heartbeat", {"progress": {"current": 1}, "logs": ["a\ufffd"], "checkpoint": {"row": 7}}),
            ("complete", {"result": {"sent": 3}}),
            ("complete", {"result": None}),
            ("fail", {"error": {"code": "bad", "message": "never"}, "retryable": False}),
            ("fail", {"error": {"code": "retry_after", "message": "later"}, "retryable": True, "retry_after_ms": 5}),
            ("release", {"delay_ms": 7, "reason": "not at night"}),
            ("fail", {"error": {"message": "a text"}}),
            ("release", {}),
            ("release", {"delay_ms": 1, "reason": "busy"}),
        ])
        for bad in ("", None):
            with self.assertRaises(TypeError):
                client.lease(bad)

    def test_a_lost_answer_is_asked_for_again_and_a_lost_lease_is_said(self):
        client, _ = self.client(lambda _, n: CUT if n == 1 else (200, {"state": "completed"}) if n == 2 else (409, {"code": "lease_lost"}))
        lease = client.lease("AQ")
        self.assertEqual(lease.complete(), "completed")
        with self.assertRaises(ProblemError) as caught:
            lease.complete()
        self.assertEqual(caught.exception.code, "lease_lost")

    def test_publish_passes_the_id_and_the_trace_of_the_request_on(self):
        client, requests = self.client(lambda _, n: CUT if n == 1 else (202, {"id": "1"}))
        self.assertEqual(client.publish("order.paid", request_id="r-1", traceparent="00-x")["id"], "1")
        self.assertEqual([(r["headers"]["X-Request-ID"], r["headers"]["traceparent"]) for r in requests], [("r-1", "00-x")] * 2)


class CallTest(Asking):
    def test_times_are_those_of_a_zone(self):
        client, requests = self.client(lambda _, n: (200, {"items": []}))
        at = datetime.datetime(2030, 1, 1, 12, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
        client.submit("x", run_at=at, expires_at="2031-01-01T00:00:00Z")
        client.submit_many([{"kind": "x", "expires_at": at}])
        self.assertEqual([requests[0]["body"]["run_at"], requests[0]["body"]["expires_at"], requests[1]["body"][0]["expires_at"]],
                         ["2030-01-01T12:30:00+02:00", "2031-01-01T00:00:00Z", "2030-01-01T12:30:00+02:00"])
        for naive in (lambda: client.submit("x", run_at=datetime.datetime(2030, 1, 1)),
                      lambda: submit_tx(None, "x", run_at=datetime.datetime(2030, 1, 1))):
            with self.assertRaises(ValueError) as caught:
                naive()
            self.assertIn("time zone", str(caught.exception))

    def test_who_can_not_be_reached_is_named(self):
        with self.assertRaises(ConnectionFailed) as caught:
            Client("http://127.0.0.1:9/below", retries=0).task("x")
        self.assertIn("GET http://127.0.0.1:9/below/v1/tasks/x: ", str(caught.exception))

    def test_call_is_any_call(self):
        client, requests = self.client(lambda _, n: CUT if n == 1 else (200, {"n": n}))
        self.assertEqual(client.call("GET", "/v1/queues"), {"n": 2})
        self.assertEqual(client.call("POST", "/v1/queues/mail/pause"), {"n": 3})
        self.assertEqual([(r["method"], r["path"], r["body"]) for r in requests[1:]], [("GET", "/v1/queues", None), ("POST", "/v1/queues/mail/pause", None)])


if __name__ == "__main__":
    unittest.main()
