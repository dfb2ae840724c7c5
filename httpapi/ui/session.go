package ui

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	sessionCookie = "scheduler_session"
	sessionLife   = 12 * time.Hour
	sessionInfo   = "scheduler dashboard session v1" // of HKDF
	maxActor      = 64                               // bytes of a name
)

// sessions signs people in. A session is a cookie that the server signs with a key derived from the token: every server with
// the token knows it, nothing is stored, and another token ends all.
type sessions struct {
	open  bool // there is no token: nobody signs in
	token [sha256.Size]byte
	key   []byte
}

func newSessions(token string) sessions {
	key, err := hkdf.Key(sha256.New, []byte(token), nil, sessionInfo, sha256.Size)
	if err != nil {
		panic(err) // only for a key of more than 8160 bytes
	}
	return sessions{open: token == "", token: sha256.Sum256([]byte(token)), key: key}
}

// fits reports whether it is the token.
func (s sessions) fits(token string) bool {
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(given[:], s.token[:]) == 1
}

// sign returns the value of a cookie: name, end and signature.
func (s sessions) sign(actor string, end time.Time) string {
	body := base64.RawURLEncoding.EncodeToString([]byte(actor)) + "." + strconv.FormatInt(end.Unix(), 10)
	return body + "." + base64.RawURLEncoding.EncodeToString(s.mac(body))
}

func (s sessions) mac(body string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(body))
	return h.Sum(nil)
}

// verify returns who holds a cookie's value.
func (s sessions) verify(value string, now time.Time) (actor string, ok bool) {
	at := strings.LastIndexByte(value, '.')
	if at < 0 {
		return "", false
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(value[at+1:])
	if err != nil || !hmac.Equal(mac, s.mac(value[:at])) {
		return "", false
	}
	name, end, _ := strings.Cut(value[:at], ".")
	seconds, err := strconv.ParseInt(end, 10, 64)
	if err != nil || now.Unix() >= seconds {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(name)
	return string(raw), err == nil
}

type actorKey struct{}

// actor is who a page is for, as the audit has it: the name given at the login, or a standard one.
func actor(r *http.Request) string {
	name, _ := r.Context().Value(actorKey{}).(string)
	if name == "" {
		return "dashboard"
	}
	return name
}

// admit reports whether the request may see pages, and puts into its context who sends it.
func (s sessions) admit(r *http.Request) (*http.Request, bool) {
	if s.open {
		return r, true
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "bearer") && s.fits(token) {
		return r, true
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return r, false
	}
	name, ok := s.verify(cookie.Value, time.Now())
	if !ok {
		return r, false
	}
	return r.WithContext(context.WithValue(r.Context(), actorKey{}, name)), true
}

// SignedIn reports whether a request bears the cookie of a session.
func (u *UI) SignedIn(r *http.Request) bool {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || u.sessions.open {
		return false
	}
	_, ok := u.sessions.verify(cookie.Value, time.Now())
	return ok
}

// loginData is what the login shows.
type loginData struct {
	Next  string // where to go then
	Name  string
	Wrong bool // the token was
}

func (u *UI) loginPage(w http.ResponseWriter, r *http.Request) {
	if _, ok := u.sessions.admit(r); ok {
		http.Redirect(w, r, local(r.URL.Query().Get("next")), http.StatusSeeOther)
		return
	}
	u.render(w, r, http.StatusOK, &screen{Name: "login", Title: "Sign in", Data: loginData{Next: local(r.URL.Query().Get("next"))}})
}

func (u *UI) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		u.fail(w, r, http.StatusBadRequest, "The form can't be read", err.Error())
		return
	}
	next, name := local(r.PostForm.Get("next")), scheduler.CleanText(strings.TrimSpace(r.PostForm.Get("name")), maxActor)
	if !u.sessions.open && !u.sessions.fits(r.PostForm.Get("token")) {
		u.render(w, r, http.StatusForbidden, &screen{Name: "login", Title: "Sign in", Data: loginData{Next: next, Name: name, Wrong: true}})
		return
	}
	if !u.sessions.open {
		end := time.Now().Add(sessionLife)
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: u.sessions.sign(name, end), Path: "/", Expires: end,
			HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteStrictMode})
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (u *UI) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// secure reports whether the browser speaks TLS, to us or to a proxy in front that says so; of several the first.
func secure(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(first), "https")
}

// refuseStranger sends somebody without a session to the login, or says so to a program.
func (u *UI) refuseStranger(w http.ResponseWriter, r *http.Request) {
	if wantsJSON(r) || r.Method == http.MethodPost {
		w.Header().Set("WWW-Authenticate", `Bearer realm="scheduler"`)
		u.fail(w, r, http.StatusUnauthorized, "A login is needed", "Sign in at /login, or send the header Authorization: Bearer <token>.")
		return
	}
	http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
}
