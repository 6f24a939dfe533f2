//go:build dev

package temporaldev

import (
	"sync"
	"testing"

	"go.temporal.io/server/common/definition"
	"go.temporal.io/server/service/history/events"
)

func TestWaiterForHistoryGetsTheNewestEventWhateverTheOrder(t *testing.T) {
	t.Parallel()
	key, other := definition.NewWorkflowKey("n", "w", "r"), definition.NewWorkflowKey("n", "w", "another run")
	for name, order := range map[string][]int64{
		"one":                {5},
		"rising":             {3, 4, 5},
		"the newest first":   {5, 4, 3},
		"the newest between": {3, 5, 4},
	} {
		n := newNotifier()
		id, waiter, err := n.WatchHistoryEvent(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, next := range order {
			n.NotifyNewHistoryEvent(&events.Notification{ID: key, NextEventID: next})
			n.NotifyNewHistoryEvent(&events.Notification{ID: other, NextEventID: next + 10})
		}
		if got := (<-waiter).NextEventID; got != 5 {
			t.Errorf("%s: the waiter got event %d, want 5", name, got)
		}
		if err := n.UnwatchHistoryEvent(key, id); err != nil {
			t.Fatal(err)
		}
		n.NotifyNewHistoryEvent(&events.Notification{ID: key, NextEventID: 6})
		if len(waiter) != 0 || len(n.waiters) != 0 {
			t.Errorf("%s: one who no longer waits is told, or remembered", name)
		}
	}
}

func TestNotifyingNeverBlocksOnWaitersThatDoNotLook(t *testing.T) {
	t.Parallel()
	const writers, last = 4, 1000
	n, key := newNotifier(), definition.NewWorkflowKey("n", "w", "r")
	var idle []chan *events.Notification
	for range 3 {
		_, waiter, err := n.WatchHistoryEvent(key)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, waiter)
	}
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for next := range int64(last) {
				n.NotifyNewHistoryEvent(&events.Notification{ID: key, NextEventID: next + 1})
			}
		})
	}
	writing.Wait()
	for _, waiter := range idle {
		if got := (<-waiter).NextEventID; got != last {
			t.Errorf("the waiter got event %d, want the last, %d", got, last)
		}
	}
}
