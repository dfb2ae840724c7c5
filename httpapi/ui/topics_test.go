package ui_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/scheduler"
)

// TestTopicsInBrowser makes, edits, finds and deletes a subscription; a message that is published elsewhere is seen by itself.
func TestTopicsInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	tab := browser.Open(t, r.one+"/topics")
	tab.Await(`document.querySelector("#live-subscriptions").textContent.includes("There is no subscription")`)
	tab.Click(`.new summary`)
	for name, value := range map[string]string{"name": "mailer", "pattern": "order.*", "kind": "mail.send", "queue": "mail"} {
		tab.Fill(`.new [name=`+name+`]`, value)
	}
	tab.Click(`.new button`)
	said(tab, "order.* makes tasks of mail.send")
	tab.Await(`document.querySelector('tr[data-subscription="mailer"]').textContent.includes("order.*")`)
	tab.Click(`tr[data-subscription="mailer"] a.button`)
	tab.Fill(`#edit [name=pattern]`, "order.#")
	tab.Click(`#edit button`)
	said(tab, "order.# makes tasks of mail.send")
	live(tab)
	p, err := r.client.Publish(t.Context(), scheduler.NewMessage{Topic: "order.created.eu", Payload: map[string]string{"for": "<b>Ada</b>"}})
	if err != nil || len(p.Tasks) != 1 || p.Tasks[0].Queue != "mail" {
		t.Fatalf("%+v, %v", p, err)
	}
	tab.Await(`document.querySelector("#live-messages")?.textContent.includes("order.created.eu") && document.querySelector("#live-messages").textContent.includes("<b>Ada</b>")`)
	tab.Fill(`input[name=topic]`, "user.created")
	tab.Click(`form.filters button`)
	tab.Await(`location.search.includes("user.created") && document.querySelector("#live-subscriptions").textContent.includes("No subscription matches user.created")`)
	tab.Go(r.two + "/topics?topic=order.x")
	tab.Click(`tr[data-subscription="mailer"] button[value=delete]`)
	said(tab, "Subscription mailer is deleted")
	if _, err := r.client.Subscription(t.Context(), "mailer"); err == nil {
		t.Error("it is still there")
	}
	audit, _, err := r.client.Audit(t.Context(), scheduler.AuditFilter{Limit: 10})
	var verbs []string
	for _, a := range audit {
		verbs = append(verbs, a.Actor+" "+a.Verb+" "+a.Target)
	}
	if got := strings.Join(verbs, ", "); err != nil || got != "dashboard delete_subscription mailer, dashboard set_subscription mailer, dashboard set_subscription mailer" {
		t.Errorf("%s, %v", got, err)
	}
	if a := r.post("/topics/act", url.Values{"do": {"set"}, "name": {"x"}, "pattern": {"a**"}, "kind": {"k"}}); a.StatusCode != 422 {
		t.Errorf("a bad pattern: %d", a.StatusCode)
	}
}

// A browser whose connection is cut, before it ever got a message and after, misses none that is published until it is back.
func TestBrowserResumesATopic(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	handler, err := httpapi.New(r.client, httpapi.Config{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	tab := browser.Open(t, web.URL+"/topics")
	browser.Eval[bool](tab, `(window.got = [], window.opened = 0, window.stream = new EventSource("/v1/topics/order.%23/events"),
		window.stream.onopen = () => window.opened++, window.stream.onmessage = (e) => window.got.push(JSON.parse(e.data).topic), true)`)
	publish := func(topic string) {
		t.Helper()
		if _, err := r.client.Publish(t.Context(), scheduler.NewMessage{Topic: topic}); err != nil {
			t.Fatal(err)
		}
	}
	tab.Await(`window.opened === 1 && window.stream.readyState === EventSource.OPEN`)
	web.CloseClientConnections()
	publish("order.first")
	tab.Await(`window.got.join() === "order.first"`)
	web.CloseClientConnections()
	publish("user.x")
	publish("order.second")
	tab.Await(`window.got.join() === "order.first,order.second" && window.opened >= 3`)
	publish("order.third")
	tab.Await(`window.got.join() === "order.first,order.second,order.third"`)
}
