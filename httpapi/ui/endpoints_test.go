package ui_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/scheduler"
)

// endpoints makes one that is well, one that is paused and one that is open.
func (r *rig) endpoints() {
	r.t.Helper()
	ctx := r.t.Context()
	for _, e := range []scheduler.NewEndpoint{
		{Name: "shop", URL: "https://shop.example/tasks", Kinds: []string{"mail.send", "report.generate"}, Concurrency: 8},
		{Name: "billing", URL: "https://billing.example/hooks", Kinds: []string{"invoice.make"}, Rate: 5},
		{Name: "legacy", URL: "http://legacy.example/run.php", Kinds: []string{"image.resize"}, BreakerFailures: 3},
	} {
		if _, _, err := r.client.SetEndpoint(ctx, e); err != nil {
			r.t.Fatal(err)
		}
		worker := scheduler.NewWorkerID()
		if err := r.client.Register(ctx, scheduler.WorkerInfo{ID: worker, Name: "push:" + e.Name + "@web-1:77", Queues: []scheduler.Queue{"default"}, Kinds: e.Kinds, Slots: 10, TTL: 1 << 50}); err != nil {
			r.t.Fatal(err)
		}
		turn, err := r.client.TakeTurn(ctx, scheduler.Deliveries{Endpoint: e.Name, Worker: worker, More: 3})
		if err != nil {
			r.t.Fatal(err)
		}
		told := scheduler.Deliveries{Endpoint: e.Name, Worker: worker, Busy: turn.Granted, Generation: turn.Generation, Succeeded: e.Name != "legacy"}
		if e.Name == "legacy" {
			told.Busy, told.Failures, told.LastError = 0, 4, "502 Bad Gateway: upstream php-fpm is not there"
		}
		if _, err := r.client.TakeTurn(ctx, told); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.client.PauseEndpoint(ctx, "billing"); err != nil {
		r.t.Fatal(err)
	}
}

func TestEndpointsInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.endpoints()
	one, two := browser.Open(t, r.one+"/endpoints"), browser.Open(t, r.two+"/endpoints")
	for name, shows := range map[string]string{"shop": "closed", "billing": "paused", "legacy": "open"} {
		one.Await(`document.querySelector("tr[data-endpoint=` + name + `] .state").textContent === "` + shows + `"`)
	}
	one.Await(`document.querySelector("tr[data-endpoint=legacy]").textContent.includes("502 Bad Gateway: upstream php-fpm is not there")`)
	one.Await(`document.querySelector("tr[data-endpoint=shop] meter").value === 3`)
	one.Click(`tr[data-endpoint=shop] button[value=pause]`)
	said(one, "Endpoint shop is paused")
	two.Await(`document.querySelector("tr[data-endpoint=shop] .state").textContent === "paused"`) // by itself
	two.Click(`tr[data-endpoint=shop] button[value=resume]`)
	said(two, "is delivered to again")
	two.Click(`tr[data-endpoint=legacy] button[value=probe]`)
	said(two, "is its probe")
	one.Click(`tr[data-endpoint=legacy] button[value=delete]`)
	said(one, "Endpoint legacy is deleted")
	two.Await(`!document.querySelector("tr[data-endpoint=legacy]")`)
	audit, _, err := r.client.Audit(t.Context(), scheduler.AuditFilter{Limit: 4})
	var verbs []string
	for _, a := range audit {
		verbs = append(verbs, a.Verb+" "+a.Target)
	}
	if got := strings.Join(verbs, ", "); err != nil || got != "delete_endpoint legacy, resume_endpoint legacy, resume_endpoint shop, pause_endpoint shop" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestEndpointsPageKeepsSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	if a := r.get("/endpoints"); !strings.Contains(a.body, "There is no endpoint") {
		t.Error(a.body)
	}
	r.endpoints()
	for _, path := range []string{"/endpoints", "/endpoints.json", "/events", "/v1/endpoints", "/v1/endpoints/shop", "/v1/audit"} {
		if a := r.get(path); a.StatusCode != 200 || strings.Contains(a.body, "whsec") {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	if a := r.post("/endpoints/act", url.Values{"do": {"explode"}, "name": {"shop"}}); a.StatusCode < 400 || a.StatusCode >= 500 {
		t.Errorf("%d", a.StatusCode)
	}
	if a := r.post("/endpoints/act", url.Values{"do": {"delete"}, "name": {"none\x00"}}); a.StatusCode != 303 {
		t.Errorf("%d", a.StatusCode)
	}
}

// TestAnEndpointIsMadeInBrowser makes one, whose secret is shown once, edits it, and is refused what cannot be.
func TestAnEndpointIsMadeInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	tab := browser.Open(t, r.one+"/endpoints")
	tab.Click(`.new summary`)
	for name, value := range map[string]string{"name": "shop", "url": "https://shop.example/tasks", "kinds": "mail.send, report.generate", "rate": "2.5", "concurrency": "4"} {
		tab.Fill(`.new [name=`+name+`]`, value)
	}
	tab.Click(`.new button`)
	said(tab, "it is shown this once: whsec_")
	tab.Await(`document.querySelector("tr[data-endpoint=shop]").textContent.includes("2.5 a second")`)
	secrets, err := r.client.EndpointSecrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tab.Click(`tr[data-endpoint=shop] a.button`)
	tab.Fill(`#edit [name=kinds]`, "mail.send")
	tab.Fill(`#edit [name=rate]`, "")
	tab.Click(`#edit button`)
	said(tab, "Endpoint shop is stored.")
	live(tab)
	got, err := r.client.Endpoint(t.Context(), "shop")
	if err != nil || got.Rate != nil || got.Concurrency != 4 || len(got.Kinds) != 1 || got.CompleteWithinMS != 900_000 || got.BreakerPauseMS != 30_000 {
		t.Errorf("%+v, %v", got, err)
	}
	if after, err := r.client.EndpointSecrets(t.Context()); err != nil || len(after["shop"].Secrets) != 1 || after["shop"].Secrets[0] != secrets["shop"].Secrets[0] {
		t.Errorf("the secret changed, %v", err)
	}
	tab.Click(`tr[data-endpoint=shop] a.button`)
	tab.Fill(`#edit [name=url]`, "https://user:secret@shop.example/")
	tab.Click(`#edit button`)
	tab.Await(`document.body.textContent.includes("neither user nor fragment")`)
}
