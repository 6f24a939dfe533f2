package storetest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

var checkpointTests = map[string]func(*testing.T, store.Store){
	"the last that was saved is given, to the byte": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		ns, id := task.Spec.Namespace, task.Spec.Task
		_, err := s.Checkpoint(t.Context(), ns, id)
		requireKind(t, agent.ErrNotFound, err)
		for _, data := range [][]byte{{}, []byte("half\x00way\xff"), bytes.Repeat([]byte{7}, 1<<20)} {
			require.NoError(t, s.SaveCheckpoint(t.Context(), ns, id, 1, data))
			got, err := s.Checkpoint(t.Context(), ns, id)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got), "%d bytes", len(got))
		}
	},
	"an earlier attempt does not take the place of a later one's": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		ns, id := task.Spec.Namespace, task.Spec.Task
		require.NoError(t, s.SaveCheckpoint(t.Context(), ns, id, 2, []byte("second")))
		require.NoError(t, s.SaveCheckpoint(t.Context(), ns, id, 1, []byte("first")))
		got, err := s.Checkpoint(t.Context(), ns, id)
		require.NoError(t, err)
		require.Equal(t, "second", string(got))
	},
	"the end of the task forgets it, and none is kept after": func(t *testing.T, s store.Store) {
		task := oneTask(t, s)
		ns, id := task.Spec.Namespace, task.Spec.Task
		require.NoError(t, s.SaveCheckpoint(t.Context(), ns, id, 1, []byte("x")))
		project(t, s, projection(task, 5, agent.TaskSucceeded))
		require.NoError(t, s.SaveCheckpoint(t.Context(), ns, id, 1, []byte("late")))
		_, err := s.Checkpoint(t.Context(), ns, id)
		requireKind(t, agent.ErrNotFound, err)
	},
	"a task that is not there has none": func(t *testing.T, s store.Store) {
		requireKind(t, agent.ErrNotFound, s.SaveCheckpoint(t.Context(), "default", "absent", 1, []byte("x")))
	},
}
