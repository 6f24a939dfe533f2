package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// newEvent is an event that is told from others by its ID.
func newEvent(id string, second int) store.Event {
	return store.Event{ID: id, At: at(second), Kind: "attempt", Action: agent.ActAgentCreate, Principal: "admin", Namespace: "default", Agent: "worker"}
}

// eventIDs gives what a filter finds.
func eventIDs(t testing.TB, s store.Store, f store.EventFilter) (out []string) {
	t.Helper()
	for _, e := range pages(t, 2, func(p store.Page) ([]store.Event, store.Cursor, error) { return s.ListEvents(t.Context(), f, p) }, nil) {
		out = append(out, e.ID)
	}
	return out
}

var eventTests = map[string]func(*testing.T, store.Store){
	"an event is read as it was written": func(t *testing.T, s store.Store) {
		full := newEvent("e1", 1)
		full.Resource, full.Outcome, full.Attempt, full.Request = "worker", "denied", "e0", "req-1"
		full.Decision = &agent.Decision{Verdict: agent.Deny, Reason: "because", Rules: []string{"r"}, Revision: "9"}
		full.Details = []byte(`{"z": 1.0, "a": "<b>"}`)
		require.NoError(t, s.AppendEvents(t.Context(), []store.Event{full, {ID: "e2"}}))
		got, _, err := s.ListEvents(t.Context(), store.EventFilter{}, store.Page{})
		require.NoError(t, err)
		require.Equal(t, []store.Event{{ID: "e2"}, full}, got)
	},
	"each filter selects, newest first in the order of writing": func(t *testing.T, s store.Store) {
		put := func(id string, second int, change func(*store.Event)) {
			e := newEvent(id, second)
			change(&e)
			require.NoError(t, s.AppendEvents(t.Context(), []store.Event{e}))
		}
		put("a", 5, func(*store.Event) {})
		put("b", 1, func(e *store.Event) { e.Namespace = "other" })
		put("c", 2, func(e *store.Event) { e.Agent = "another" })
		put("d", 3, func(e *store.Event) { e.Action = agent.ActTaskRun })
		put("e", 4, func(e *store.Event) { e.Principal = "runtime" })
		for name, c := range map[string]struct {
			f    store.EventFilter
			want string
		}{
			"none":      {store.EventFilter{}, "e d c b a"},
			"namespace": {store.EventFilter{Namespace: "default"}, "e d c a"},
			"agent":     {store.EventFilter{Namespace: "default", Agent: "worker"}, "e d a"},
			"action":    {store.EventFilter{Action: agent.ActTaskRun}, "d"},
			"principal": {store.EventFilter{Principal: "runtime"}, "e"},
			"since":     {store.EventFilter{Since: at(3)}, "e d a"},
			"until":     {store.EventFilter{Until: at(3)}, "c b"},
			"several":   {store.EventFilter{Namespace: "default", Since: at(2), Until: at(5), Principal: "admin"}, "d c"},
		} {
			require.Equal(t, c.want, strings.Join(eventIDs(t, s, c.f), " "), name)
		}
	},
	"a group is written whole or not at all": func(t *testing.T, s store.Store) {
		require.NoError(t, s.AppendEvents(t.Context(), nil))
		require.NoError(t, s.AppendEvents(t.Context(), []store.Event{newEvent("a", 1)}))
		err := s.AppendEvents(t.Context(), []store.Event{newEvent("b", 1), newEvent("c", 1), newEvent("a", 1)})
		requireKind(t, agent.ErrConflict, err)
		require.NoError(t, s.AppendEvents(t.Context(), []store.Event{newEvent("d", 1)}))
		require.Equal(t, []string{"d", "a"}, eventIDs(t, s, store.EventFilter{}))
	},
	"groups that are written at once keep their order and are not mixed": func(t *testing.T, s store.Store) {
		const writers, size = 8, 70
		inParallel(t, writers, func(ctx context.Context, w int) error {
			for round := range 3 {
				group := make([]store.Event, size)
				for i := range group {
					group[i] = newEvent(fmt.Sprintf("%d.%d.%03d", w, round, i), i)
				}
				if err := s.AppendEvents(ctx, group); err != nil {
					return err
				}
			}
			return nil
		})
		var all []string
		for _, e := range pages(t, store.MaxLimit, func(p store.Page) ([]store.Event, store.Cursor, error) {
			return s.ListEvents(t.Context(), store.EventFilter{}, p)
		}, nil) {
			all = append(all, e.ID)
		}
		slices.Reverse(all)
		require.Len(t, all, writers*3*size)
		lastRound := map[string]string{}
		for group := range slices.Chunk(all, size) {
			who, round := group[0][:1], group[0][2:3]
			for i, id := range group {
				require.Equal(t, fmt.Sprintf("%s.%s.%03d", who, round, i), id)
			}
			require.Less(t, lastRound[who], round)
			lastRound[who] = round
		}
	},
	"pages do not move when events join": func(t *testing.T, s store.Store) {
		var want []string
		for i := range 10 {
			id := fmt.Sprintf("e%02d", i)
			want = append(want, id)
			require.NoError(t, s.AppendEvents(t.Context(), []store.Event{newEvent(id, i)}))
		}
		slices.Reverse(want)
		var got []string
		joined := 0
		for _, e := range pages(t, 3, func(p store.Page) ([]store.Event, store.Cursor, error) {
			return s.ListEvents(t.Context(), store.EventFilter{}, p)
		}, func() {
			joined++
			require.NoError(t, s.AppendEvents(t.Context(), []store.Event{newEvent(fmt.Sprint("joined", joined), 99)}))
		}) {
			got = append(got, e.ID)
		}
		require.Equal(t, want, got)
	},
}

var installationTests = map[string]func(*testing.T, store.Store){
	"the ID is made once": func(t *testing.T, s store.Store) {
		ids := make([]string, 8)
		inParallel(t, len(ids), func(ctx context.Context, i int) (err error) {
			ids[i], err = s.InstallationID(ctx)
			return err
		})
		require.NotEmpty(t, ids[0])
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
	},
}
