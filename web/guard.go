package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// guard lets in only who has the token, from a page of this server's own.
type guard struct {
	token   string // of the link, a new one each time
	session string // of the cookie, which outlives a restart
	cookie  string // its name: browsers do not tell ports apart
	scheme  string // https beyond loopback, and nothing else there
	hosts   []string
	post    string      // what a request that changes something has in a header: not for a cookie
	once    chan string // a token that opens once, for who starts a browser by its arguments
	acts    bool        // there may be such requests
}

// postHeader has the guard's post: no page elsewhere can send it.
const postHeader = "Dcalab-Page"

// newGuard makes one for an address that is listened to. secret is what the cookie's value
// is made of, so that a page that is open goes on after a restart.
func newGuard(addr netip.AddrPort, secret []byte) guard {
	port := strconv.Itoa(int(addr.Port()))
	derived := func(what string) string {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(what + " " + addr.String()))
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	scheme, hosts := "http", []string{addr.String(), net.JoinHostPort("localhost", port)}
	if !addr.Addr().IsLoopback() {
		scheme, hosts = "https", hosts[:1]
		if port == "443" { // browsers leave it out
			hosts = append(hosts, strings.TrimSuffix(addr.String(), ":443"))
		}
	}
	return guard{
		token:   rand.Text() + rand.Text(),
		session: derived("session"),
		post:    derived("post"),
		once:    make(chan string, 1),
		cookie:  "dcalab" + port,
		scheme:  scheme,
		hosts:   hosts,
	}
}

// same compares in a time that does not tell how much of it is right.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// ours tells whether a request is for this server by its own name, and from a page of its
// own: another name may be that of a page elsewhere which was made to point here.
func (g guard) ours(r *http.Request) bool {
	if !slices.Contains(g.hosts, r.Host) || g.secure() && r.TLS == nil {
		return false
	}
	if origin, sent := r.Header["Origin"]; sent && (len(origin) != 1 || origin[0] != g.scheme+"://"+r.Host) {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return r.URL.Path == "/" && r.URL.Query().Has("token") // a link in another page
}

// secure tells whether it is TLS that is listened to.
func (g guard) secure() bool { return g.scheme == "https" }

// link is an address of the page with a token.
func (g guard) link(token string) string { return g.scheme + "://" + g.hosts[0] + "/?token=" + token }

func (g guard) known(r *http.Request) bool {
	c, err := r.Cookie(g.cookie)
	return err == nil && same(c.Value, g.session)
}

// protect is in front of everything.
func (g guard) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !g.ours(r):
			http.Error(w, "this is not for you", http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead && (r.Method != http.MethodPost || !g.acts):
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "nothing can be changed here", http.StatusMethodNotAllowed)
		case r.URL.Path == "/" && r.URL.Query().Has("token"):
			g.letIn(w, r)
		case !g.known(r):
			http.Error(w, "open the page with the address that dcalab serve has printed", http.StatusUnauthorized)
		case r.Method == http.MethodPost && (r.Header.Get("Origin") == "" || !same(r.Header.Get(postHeader), g.post)):
			http.Error(w, "this is not for you", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// letIn gives a cookie for the token, and an address without it. What it takes to act is
// in the address, and kept by the page: a cookie is sent to every port of a host, and so
// to servers of other users.
func (g guard) letIn(w http.ResponseWriter, r *http.Request) {
	if token := r.URL.Query().Get("token"); !same(token, g.token) && !g.isOnce(token) {
		http.Error(w, "this address is of a dcalab serve that has ended, or is not whole; open the one that it has printed", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.session, Path: "/", HttpOnly: true, Secure: g.secure(), SameSite: http.SameSiteStrictMode}) //nolint:gosec // loopback has no TLS
	to := "/"
	if g.acts {
		to += "#post=" + g.post
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// isOnce tells whether it is the token that opens once, which it does then.
func (g guard) isOnce(token string) bool {
	select {
	case once := <-g.once:
		if same(token, once) {
			return true
		}
		g.once <- once
	default:
	}
	return false
}
