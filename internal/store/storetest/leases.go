package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// newLease is a request.
func newLease(id agent.LeaseID, second int) store.Lease {
	return store.Lease{
		ID: id, Task: agent.TaskRef{Namespace: "default", Agent: "worker", Task: "first"}, Attempt: 1,
		WorkflowID: "task.default.worker.first", RunID: "run", ActivityID: "5",
		Resources: agent.Resources{MemoryMB: 512, CPUCores: 0.5, ExecutionTimeout: agent.Duration(time.Minute)}, ScratchMB: 256,
		Priority: agent.High, Class: agent.Batch, Tier: agent.TierGVisor, State: store.LeaseRequested, RequestedAt: at(second),
	}
}

// request writes a request that must succeed.
func request(t testing.TB, s store.Store, l store.Lease) store.Lease {
	t.Helper()
	got, err := s.RequestLease(t.Context(), l)
	require.NoError(t, err)
	return got
}

// open lists what is not released.
func open(t testing.TB, s store.Store) []store.Lease {
	t.Helper()
	leases, err := s.OpenLeases(t.Context())
	require.NoError(t, err)
	return leases
}

var leaseTests = map[string]func(*testing.T, store.Store){
	"a request is open until it is released, granted in between": func(t *testing.T, s store.Store) {
		l := newLease("l1", 1)
		require.Equal(t, l, request(t, s, l))
		require.Equal(t, []store.Lease{l}, open(t, s))
		require.NoError(t, s.GrantLease(t.Context(), "l1", "n1", 7, at(2)))
		l.State, l.Node, l.Epoch, l.GrantedAt = store.LeaseGranted, "n1", 7, at(2)
		require.Equal(t, []store.Lease{l}, open(t, s))
		require.NoError(t, s.ReleaseLease(t.Context(), "l1"))
		require.NoError(t, s.ReleaseLease(t.Context(), "l1"), "twice is no error")
		require.NoError(t, s.ReleaseLease(t.Context(), "never"), "nor is what never was")
		require.Empty(t, open(t, s))
	},
	"the same request again changes nothing, whatever became of it": func(t *testing.T, s store.Store) {
		first := request(t, s, newLease("l1", 1))
		other := newLease("l1", 9)
		other.Attempt, other.ScratchMB = 5, 1
		require.Equal(t, first, request(t, s, other))
		require.NoError(t, s.GrantLease(t.Context(), "l1", "n1", 7, at(2)))
		require.Equal(t, agent.NodeID("n1"), request(t, s, other).Node)
		require.NoError(t, s.ReleaseLease(t.Context(), "l1"))
		require.Equal(t, store.LeaseReleased, request(t, s, other).State)
		require.Empty(t, open(t, s))
	},
	"a request that its leader granted at once is stored as granted": func(t *testing.T, s store.Store) {
		l := newLease("l1", 1)
		l.State, l.Node, l.Epoch, l.GrantedAt = store.LeaseGranted, "n1", 3, at(1)
		require.Equal(t, l, request(t, s, l))
		require.Equal(t, []store.Lease{l}, open(t, s))
		unstated := newLease("l2", 2)
		unstated.State = ""
		require.Equal(t, store.LeaseRequested, request(t, s, unstated).State)
	},
	"only what is requested can be granted": func(t *testing.T, s store.Store) {
		requireKind(t, agent.ErrConflict, s.GrantLease(t.Context(), "never", "n1", 1, at(1)))
		request(t, s, newLease("l1", 1))
		require.NoError(t, s.GrantLease(t.Context(), "l1", "n1", 1, at(1)))
		requireKind(t, agent.ErrConflict, s.GrantLease(t.Context(), "l1", "n2", 2, at(2)))
		require.Equal(t, agent.NodeID("n1"), open(t, s)[0].Node)
		request(t, s, newLease("l2", 1))
		require.NoError(t, s.ReleaseLease(t.Context(), "l2"))
		requireKind(t, agent.ErrConflict, s.GrantLease(t.Context(), "l2", "n1", 1, at(1)))
		require.Len(t, open(t, s), 1)
	},
	"open leases come oldest first": func(t *testing.T, s store.Store) {
		for i, second := range []int{5, 1, 3, 3} {
			request(t, s, newLease(agent.LeaseID(fmt.Sprint("l", i)), second))
		}
		var ids []agent.LeaseID
		for _, l := range open(t, s) {
			ids = append(ids, l.ID)
		}
		require.Equal(t, []agent.LeaseID{"l1", "l2", "l3", "l0"}, ids)
	},
}

var leadershipTests = map[string]func(*testing.T, store.Store){
	"one leads until its term is over, and each change counts the epoch up": func(t *testing.T, s store.Store) {
		acquire := func(holder string, second int) (int64, bool) {
			t.Helper()
			epoch, ok, err := s.AcquireLeadership(t.Context(), "scheduler", holder, 10*time.Second, at(second))
			require.NoError(t, err)
			return epoch, ok
		}
		want := func(holder string, second int, epoch int64, leads bool) {
			t.Helper()
			got, ok := acquire(holder, second)
			require.Equal(t, leads, ok)
			if leads {
				require.Equal(t, epoch, got)
			}
		}
		want("a", 0, 1, true)
		want("b", 1, 0, false)
		want("a", 9, 1, true) // renewed
		want("b", 18, 0, false)
		want("b", 19, 2, true) // a's term ended
		want("a", 20, 0, false)
		want("b", 60, 2, true) // nobody led in between
		require.NoError(t, s.ResignLeadership(t.Context(), "scheduler", "a"), "it has none")
		want("a", 61, 0, false)
		require.NoError(t, s.ResignLeadership(t.Context(), "scheduler", "b"))
		want("a", 61, 3, true)
		require.NoError(t, s.ResignLeadership(t.Context(), "scheduler", "a"))
		want("a", 62, 4, true)

		epoch, ok, err := s.AcquireLeadership(t.Context(), "another", "b", time.Second, at(0))
		require.NoError(t, err)
		require.True(t, ok)
		require.EqualValues(t, 1, epoch)
		require.NoError(t, s.ResignLeadership(t.Context(), "nothing", "b"))
	},
}

var nodeTests = map[string]func(*testing.T, store.Store){
	"the latest report of each node is listed, by ID": func(t *testing.T, s store.Store) {
		full := store.Node{
			ID: "node-b", Address: "10.0.0.1:7", Version: "v1", MemoryMB: 4096, CPUCores: 2.5, DiskMB: 1 << 40,
			Tiers: []agent.Tier{agent.TierDocker, agent.TierGVisor}, Problems: []string{"no gVisor; install it"},
			Enforcers: []byte(`{"memory": "cgroup",  "z": 1, "a": 2}`), Cordoned: true, StartedAt: at(1), ReportedAt: at(2),
		}
		bare := store.Node{ID: "nodeA", ReportedAt: at(1)}
		for _, n := range []store.Node{bare, {ID: "node-b", ReportedAt: at(1)}, full, {ID: "Z"}} {
			require.NoError(t, s.PutNode(t.Context(), n))
		}
		nodes, err := s.ListNodes(t.Context())
		require.NoError(t, err)
		require.Equal(t, []store.Node{{ID: "Z"}, full, bare}, nodes)
		full.Problems, full.Enforcers, full.Cordoned = nil, nil, false
		require.NoError(t, s.PutNode(t.Context(), full))
		nodes, err = s.ListNodes(t.Context())
		require.NoError(t, err)
		require.Equal(t, full, nodes[1])
	},
}
