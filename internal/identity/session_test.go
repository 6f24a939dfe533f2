package identity_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/identity"
)

func login(t *testing.T, s *identity.Sessions, now time.Time) string {
	t.Helper()
	token, err := s.NewLogin(agent.PrincipalAdmin, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestALoginLinkLetsItsHolderInOnce(t *testing.T) {
	t.Parallel()
	s, now := identity.NewSessions(master(t, 1)), time.Now()
	token := login(t, s, now)
	var in atomic.Int32
	var trying sync.WaitGroup
	for range 20 {
		trying.Go(func() {
			if p, ok := s.Redeem(token, now.Add(time.Second)); ok && p == agent.PrincipalAdmin {
				in.Add(1)
			}
		})
	}
	trying.Wait()
	if in.Load() != 1 {
		t.Errorf("%d were let in", in.Load())
	}
	if _, ok := s.Redeem(login(t, s, now), now); !ok {
		t.Error("a second link does not work")
	}
}

func TestALoginLinkIsNoGoodWhen(t *testing.T) {
	t.Parallel()
	s, now := identity.NewSessions(master(t, 1)), time.Now()
	cookie, _ := s.Issue(agent.PrincipalAdmin, now)
	for name, c := range map[string]struct {
		token string
		at    time.Time
	}{
		"it is too old":                    {login(t, s, now), now.Add(identity.LoginLife)},
		"it was made before the process":   {login(t, s, now.Add(-time.Minute)), now},
		"another installation made it":     {login(t, identity.NewSessions(master(t, 2)), now), now},
		"it is a session":                  {cookie, now},
		"it is nothing":                    {"", now},
		"it is not sealed":                 {"YWRtaW4.x.AAAAAAAAAAA.", now},
		"it was altered":                   {"A" + login(t, s, now), now},
		"its signature was written longer": {login(t, s, now) + "=", now},
	} {
		if p, ok := s.Redeem(c.token, c.at); ok || p != "" {
			t.Errorf("though %s, it let %q in", name, p)
		}
	}
}

func TestASessionLastsAWorkingDay(t *testing.T) {
	t.Parallel()
	s, now := identity.NewSessions(master(t, 1)), time.Now()
	cookie, expires := s.Issue(agent.PrincipalAdmin, now)
	if !expires.Equal(now.Add(identity.SessionLife)) {
		t.Errorf("it ends at %s", expires)
	}
	other := identity.NewSessions(master(t, 1)) // another server, or a later start
	if p, ok := other.Verify(cookie, now.Add(identity.SessionLife-time.Minute)); !ok || p != agent.PrincipalAdmin {
		t.Errorf("near its end it gives %q", p)
	}
	for name, c := range map[string]struct {
		cookie string
		at     time.Time
	}{
		"its end":         {cookie, now.Add(identity.SessionLife)},
		"a login token":   {login(t, s, now), now},
		"a part of it":    {cookie[:strings.LastIndex(cookie, ".")], now},
		"a later end":     {strings.Replace(cookie, strings.Split(cookie, ".")[2], "f_________8", 1), now},
		"another's":       {strings.Replace(cookie, strings.Split(cookie, ".")[0], "cnVudGltZQ", 1), now},
		"one part more":   {cookie + ".x", now},
		"no cookie":       {"", now},
		"only separators": {"...", now},
	} {
		if p, ok := s.Verify(c.cookie, c.at); ok || p != "" {
			t.Errorf("%s gives %q", name, p)
		}
	}
	if again, _ := s.Issue(agent.PrincipalAdmin, now); again == cookie {
		t.Error("two sessions have one cookie")
	}
}
