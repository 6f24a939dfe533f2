package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// ended is an outcome with everything in it.
func ended(f *agent.Failure, paths ...string) *agent.Outcome {
	o := &agent.Outcome{
		Failure: f, Result: json.RawMessage(`{"z":1,"a":[1.50,"<b>"]}`), LogDigest: digest(7), LogBytes: 1 << 40, LogDropped: 3,
		Usage:     agent.Usage{CPUSeconds: 1.25, PeakMemoryBytes: 1 << 33, WallSeconds: 2},
		Limits:    []agent.LimitReport{{Limit: "memory_mb", Value: "512 MiB", Enforcer: "cgroup", Held: true}},
		StartedAt: at(1), EndedAt: at(2), Tier: agent.TierGVisor, ImageDigest: "sha256:abc",
	}
	for i, path := range paths {
		o.Artifacts = append(o.Artifacts, agent.Artifact{Path: path, Bytes: int64(i), Digest: digest(i), MediaType: "text/html"})
	}
	return o
}

var taskProjectionTests = map[string]func(*testing.T, store.Store){
	"all that is said is kept, and what is not said stays": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		p := projection(task, 3, agent.TaskRetrying)
		p.Holds, p.Why, p.Attempt, p.Tier, p.Node, p.Lease = agent.Holds{agent.HoldUser}, "waits", 1, agent.TierGVisor, "n1", "lease1"
		p.Risk = &agent.RiskAssessment{
			Score: 0.35, Tier: agent.TierGVisor, Why: "because", Factors: []agent.FactorRisk{{Factor: agent.FactorTrust, Value: "verified", Weight: 0.5, Contribution: 0.2}},
		}
		p.Decision = &agent.Decision{Verdict: agent.Allow, Rules: []string{"r1"}, Revision: "7", Conditions: []agent.Condition{{Kind: "min_tier", Args: map[string]any{"tier": "gvisor"}}}}
		p.Progress = &store.Progress{Percent: 12.5, Message: "reading", At: at(2)}
		p.Outcome = ended(failed("exit 3"), "report.html")
		project(t, s, p)

		task.State, task.Holds, task.Why, task.Attempt, task.Tier, task.Node, task.Lease = p.State, p.Holds, p.Why, 1, p.Tier, p.Node, p.Lease
		task.Risk, task.Decision, task.Progress, task.Outcome = p.Risk, p.Decision, p.Progress, p.Outcome
		task.Seq, task.Started, task.UpdatedAt = 3, true, at(3)
		require.Equal(t, task, readTask(t, s, task))

		next := projection(task, 4, agent.TaskQueued)
		next.Attempt = 2
		project(t, s, next)
		task.State, task.Holds, task.Why, task.Attempt, task.Seq, task.UpdatedAt = agent.TaskQueued, nil, "", 2, 4, at(4)
		require.Equal(t, task, readTask(t, s, task))
	},
	"an older word or the same again changes nothing": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		project(t, s, projection(task, 5, agent.TaskRunning))
		want := readTask(t, s, task)
		for seq := range int64(6) {
			p := projection(task, seq, agent.TaskQueued)
			p.Node, p.Why, p.Outcome = "n9", "late", ended(nil)
			project(t, s, p)
		}
		require.Equal(t, want, readTask(t, s, task))
	},
	"a final state is not overwritten by anything that is not newer": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		end := projection(task, 9, agent.TaskSucceeded)
		end.Outcome = ended(nil, "b.html", "a.html")
		project(t, s, end)
		want := readTask(t, s, task)
		require.Equal(t, at(9), want.EndedAt)
		late := projection(task, 8, agent.TaskRunning)
		project(t, s, late)
		lateEnd := projection(task, 9, agent.TaskFailed)
		lateEnd.Outcome = ended(failed("late"), "c.html")
		project(t, s, lateEnd)
		require.Equal(t, want, readTask(t, s, task))
		left, err := s.Artifacts(t.Context(), "default", "first")
		require.NoError(t, err)
		require.Len(t, left, 2)
		errs, err := s.RecentErrors(t.Context(), "", 10)
		require.NoError(t, err)
		require.Empty(t, errs)
	},
	"artifacts are there from the final state on, by path": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		var paths []string
		for i := range 150 {
			paths = append(paths, fmt.Sprintf("dir/%03d.html", 149-i))
		}
		paths = append(paths, "Z", "a", "ä", "dir/ü.html")
		p := projection(task, 1, agent.TaskRunning)
		p.Outcome = ended(nil, paths...)
		project(t, s, p)
		left, err := s.Artifacts(t.Context(), "default", "first")
		require.NoError(t, err)
		require.Empty(t, left)
		p.Seq, p.State = 2, agent.TaskSucceeded
		project(t, s, p)
		left, err = s.Artifacts(t.Context(), "default", "first")
		require.NoError(t, err)
		require.Len(t, left, len(paths))
		for i, a := range left {
			require.Contains(t, p.Outcome.Artifacts, a)
			if i > 0 {
				require.Less(t, left[i-1].Path, a.Path)
			}
		}
	},
	"a newer end replaces what an older one left": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		p := projection(task, 1, agent.TaskFailed)
		p.Outcome = ended(failed("exit 3"), "old")
		project(t, s, p)
		p = projection(task, 2, agent.TaskSucceeded)
		p.Outcome = ended(nil, "new")
		project(t, s, p)
		left, err := s.Artifacts(t.Context(), "default", "first")
		require.NoError(t, err)
		require.Len(t, left, 1)
		require.Equal(t, "new", left[0].Path)
		errs, err := s.RecentErrors(t.Context(), "", 10)
		require.NoError(t, err)
		require.Empty(t, errs)
	},
	"progress is neither lost nor takes another's place": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		progress := func(seq int64, attempt int, percent float64, when time.Time) {
			t.Helper()
			project(t, s, store.TaskProjection{
				Namespace: "default", Task: "first", Seq: seq, Attempt: attempt, Progress: &store.Progress{Percent: percent, At: when}, At: when,
			})
		}
		percent := func() float64 { return readTask(t, s, task).Progress.Percent }
		running := projection(task, 5, agent.TaskRunning)
		running.Attempt = 1
		project(t, s, running)
		progress(5, 1, 10, at(10))
		require.EqualValues(t, 10, percent(), "shares its predecessor's number")
		require.Equal(t, agent.TaskRunning, readTask(t, s, task).State)
		project(t, s, projection(task, 200, agent.TaskSuspended))
		progress(6, 1, 20, at(20))
		require.EqualValues(t, 20, percent(), "a workflow's higher number in between loses no progress")
		require.Equal(t, agent.TaskSuspended, readTask(t, s, task).State)
		progress(300, 1, 30, at(30))
		project(t, s, projection(task, 201, agent.TaskRunning))
		require.Equal(t, agent.TaskRunning, readTask(t, s, task).State, "progress takes no state's place")
		progress(301, 1, 25, at(25))
		require.EqualValues(t, 30, percent(), "what was said earlier comes late")
		progress(0, 0, 40, at(40))
		require.EqualValues(t, 40, percent(), "without an attempt it is of the current one")

		second := projection(task, 302, agent.TaskRunning)
		second.Attempt = 2
		project(t, s, second)
		progress(303, 1, 99, at(50))
		require.EqualValues(t, 40, percent(), "the first attempt is over")
		progress(303, 2, 5, at(35))
		require.EqualValues(t, 5, percent(), "another node's clock is behind")
		require.Equal(t, agent.TaskRunning, readTask(t, s, task).State)
	},
	"a final state keeps what its program said last, and stays final": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		end := projection(task, 9, agent.TaskSucceeded)
		end.Attempt = 1
		project(t, s, end)
		project(t, s, store.TaskProjection{Namespace: "default", Task: "first", Seq: 4, Attempt: 1, Progress: &store.Progress{Percent: 100, At: at(8)}})
		got := readTask(t, s, task)
		require.Equal(t, agent.TaskSucceeded, got.State)
		require.Equal(t, at(9), got.EndedAt)
		require.EqualValues(t, 100, got.Progress.Percent)
	},
	"a projection that says nothing is refused": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		requireKind(t, agent.ErrInvalid, s.ProjectTask(t.Context(), projection(task, 3, "")))
	},
	"what a program says is kept whatever bytes it has": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		p := projection(task, 1, agent.TaskFailed)
		p.Why = "a\x00b\xffc"
		p.Outcome = ended(failed("\x00\xff end"), "a\x00.txt")
		p.Outcome.Result = json.RawMessage("{\"text\":\"nul \\u0000 bad \xff\"}")
		project(t, s, p)
		got := readTask(t, s, task)
		require.Equal(t, "a\uFFFDb\uFFFDc", got.Why)
		require.Contains(t, got.Outcome.Failure.Cause, " end")
		require.JSONEq(t, "{\"text\":\"nul \\u0000 bad \uFFFD\"}", string(got.Outcome.Result))
		left, err := s.Artifacts(t.Context(), "default", "first")
		require.NoError(t, err)
		require.Equal(t, "a\uFFFD.txt", left[0].Path)
	},
	"a large outcome is kept": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		large, err := json.Marshal(make([]int, 500_000))
		require.NoError(t, err)
		p := projection(task, 1, agent.TaskSucceeded)
		p.Outcome = ended(nil)
		p.Outcome.Result = large
		project(t, s, p)
		require.Equal(t, string(large), string(readTask(t, s, task).Outcome.Result))
	},
	"a result that is no JSON is refused": func(t *testing.T, s store.Store) {
		p := projection(oneTask(t, s), 1, agent.TaskSucceeded)
		p.Outcome = &agent.Outcome{Result: json.RawMessage(`{"half":`)}
		requireKind(t, agent.ErrInvalid, s.ProjectTask(t.Context(), p))
	},
}
