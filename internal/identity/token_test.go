package identity_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/identity"
)

func TestTheAdminTokenIsMadeOnceAndLetsItsHolderIn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "admin.token")
	made, err := identity.LoadOrMakeAdminToken(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	if !strings.HasPrefix(token, "symbi_") || len(token) != len("symbi_")+43 {
		t.Errorf("the token is %q", token)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := identity.LoadOrMakeAdminToken(path)
	if err != nil {
		t.Fatal(err)
	}
	hashed, err := identity.LoadAdminToken(secretFile(t, identity.HashToken(token)+"\n", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for name, tokens := range map[string]*identity.AdminToken{"made": made, "read": again, "read as its hash": hashed} {
		if p, ok := tokens.Principal(token); !ok || p != agent.PrincipalAdmin {
			t.Errorf("%s: the token gives %q", name, p)
		}
		for _, wrong := range []string{"", "symbi_", token + "x", token[:len(token)-1], strings.ToUpper(token), identity.HashToken(token)} {
			if p, ok := tokens.Principal(wrong); ok || p != "" {
				t.Errorf("%s: %q gives %q", name, wrong, p)
			}
		}
	}
}

func TestNoTwoTokensAreAlike(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		token, err := identity.NewToken()
		if err != nil || seen[token] {
			t.Fatalf("%q again, %v", token, err)
		}
		seen[token] = true
	}
}

func TestATokenFileThatHoldsNoTokenIsRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	for name, path := range map[string]string{
		"empty":           secretFile(t, "\n", 0o600),
		"too short":       secretFile(t, "symbi_short", 0o600),
		"two words":       secretFile(t, long+" "+long, 0o600),
		"others may read": secretFile(t, long, 0o644),
		"half a hash":     secretFile(t, "sha256:"+long[:20], 0o600),
		"more than one":   secretFile(t, "sha256:"+long+"aa", 0o600),
		"no hash":         secretFile(t, "sha256:"+strings.Repeat("z", 64), 0o600),
		"absent":          filepath.Join(t.TempDir(), "absent"),
	} {
		_, err := identity.LoadAdminToken(path)
		if !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), long[:20]) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}
