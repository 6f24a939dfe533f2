package server

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
)

// Where people land after the login.
const afterLogin = "/temporal/"

// login trades a one-time token for a session. A token that was used, or is
// too old, gets the same answer as one that never was.
func (s *Server) login(c *gin.Context) {
	p, ok := s.cfg.Sessions.Redeem(c.Query("token"), s.cfg.Now())
	if !ok {
		s.unauthenticated(c, "this login link was used or is too old; `symbi login` prints a new one")
		return
	}
	cookie, expires := s.cfg.Sessions.Issue(p, s.cfg.Now())
	http.SetCookie(c.Writer, &http.Cookie{
		Name: sessionCookie, Value: cookie, Path: "/", Expires: expires,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.Request.TLS != nil,
	})
	// The first request after a redirect from elsewhere carries no Strict
	// cookie, so the browser is sent on by a page of our own origin.
	c.Header("Content-Type", "text/html; charset=utf-8")
	c.Header("Content-Security-Policy", "default-src 'none'")
	c.String(http.StatusOK, `<!doctype html><meta http-equiv="refresh" content="0;url=`+afterLogin+`"><title>Symbi</title><a href="`+afterLogin+`">Go on</a>`)
}

// CreateLoginLink makes a one-time link for the caller's browser.
func (s *Server) CreateLoginLink(ctx context.Context, _ CreateLoginLinkRequestObject) (CreateLoginLinkResponseObject, error) {
	token, err := s.cfg.Sessions.NewLogin(callerFrom(ctx).principal, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	return CreateLoginLink201JSONResponse{Url: s.cfg.PublicURL + "/login?token=" + url.QueryEscape(token)}, nil
}

// people lets a request to the web pages pass only with a session, and one
// that changes something only from our own origin.
func (s *Server) people(c *gin.Context) {
	cookie, err := c.Cookie(sessionCookie)
	if err == nil {
		if p, ok := s.cfg.Sessions.Verify(cookie, s.cfg.Now()); ok {
			if !isRead(c.Request.Method) && !sameOrigin(c.Request) {
				s.writeProblem(c, http.StatusForbidden, "This is not allowed", "the request comes from another site", nil)
				return
			}
			who := callerOf(c)
			who.principal, who.session = p, true
			setCaller(c, who)
			return
		}
	}
	s.unauthenticated(c, "log in first: open the link that `symbi login` prints")
}

// sameOrigin reports whether a browser says that the request was made by a
// page of this host.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && origin.Host == r.Host
}
