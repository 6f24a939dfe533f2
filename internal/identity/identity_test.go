package identity_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/identity"
)

// secretFile is a file with a secret in it.
func secretFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// master is a key whose bytes are all the same.
func master(t *testing.T, fill byte) identity.MasterKey {
	t.Helper()
	text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(fill)), identity.KeyBytes)))
	key, err := identity.LoadMasterKey(secretFile(t, text, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAMasterKeyIsMadeOnceAndThenRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "master.key")
	keys := make([]string, 8)
	var making sync.WaitGroup
	for i := range keys {
		making.Go(func() {
			key, err := identity.LoadOrMakeMasterKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = string(key.Derive(identity.PurposePayload))
		})
	}
	making.Wait()
	for _, k := range keys {
		if k != keys[0] || len(k) != identity.KeyBytes {
			t.Fatal("those who made it at once have different keys")
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	again, err := identity.LoadMasterKey(path)
	if err != nil || string(again.Derive(identity.PurposePayload)) != keys[0] {
		t.Errorf("read again: %v", err)
	}
}

func TestAKeyFileThatIsNotAsItShouldBeIsRefusedWithTheFix(t *testing.T) {
	t.Parallel()
	good := base64.StdEncoding.EncodeToString(make([]byte, identity.KeyBytes))
	for name, c := range map[string]struct {
		path string
		says string
	}{
		"absent":          {filepath.Join(t.TempDir(), "absent"), "no such file"},
		"a folder":        {t.TempDir(), "is not a file"},
		"others may read": {secretFile(t, good, 0o604), "chmod 600"},
		"its group may":   {secretFile(t, good, 0o640), "chmod 600"},
		"too short":       {secretFile(t, good[:20], 0o600), "openssl rand -base64 32"},
		"too long":        {secretFile(t, good+good, 0o600), "32 bytes"},
		"no base64":       {secretFile(t, strings.Repeat("!", 44), 0o600), "base64"},
		"far too long":    {secretFile(t, strings.Repeat("A", 1<<20), 0o600), "32 bytes"},
		"empty":           {secretFile(t, "", 0o600), "32 bytes"},
	} {
		_, err := identity.LoadMasterKey(c.path)
		if !errors.Is(err, agent.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want it to say %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), good[:8]) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func TestEachPurposeHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, m := range []identity.MasterKey{master(t, 1), master(t, 2)} {
		for _, purpose := range []string{
			identity.PurposePayload, identity.PurposeSignal, identity.PurposeSession, identity.PurposeCluster, identity.PurposeTemporal,
		} {
			key := string(m.Derive(purpose))
			if other, ok := seen[key]; ok || len(key) != identity.KeyBytes {
				t.Errorf("%s has the key of %s", purpose, other)
			}
			seen[key] = purpose
			if key != string(m.Derive(purpose)) {
				t.Errorf("%s has two keys", purpose)
			}
		}
	}
}

// The derived keys protect what is stored: they must not change with the code.
func TestDerivedKeysStayAsTheyWere(t *testing.T) {
	t.Parallel()
	got := fmt.Sprintf("%x", master(t, 1).Derive(identity.PurposePayload))
	const want = "910c670cf60a4d978e1abffb4720176a352f402c95cdbb95fc9c081570ee6cd8"
	if got != want {
		t.Errorf("the payload key is %s, and histories are sealed under %s", got, want)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	key := master(t, 'k')
	for _, holder := range []any{key, &key, identity.NewSessions(key), identity.NewSignalSigner(key), struct{ K identity.MasterKey }{key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			text := fmt.Sprintf(verb, holder)
			if strings.Contains(text, "kkkk") || strings.Contains(text, "6b6b") || strings.Contains(text, "107 107") || strings.Contains(text, "0x6b, 0x6b") {
				t.Errorf("%s of %T tells the key: %s", verb, holder, text)
			}
			if !strings.Contains(text, "[secret]") {
				t.Errorf("%s of %T is %s", verb, holder, text)
			}
		}
	}
}
