//go:build dev

package temporaldev

import (
	"sync"

	"github.com/google/uuid"
	"go.temporal.io/server/common/definition"
	"go.temporal.io/server/service/history/events"
)

// notifier tells those who wait for a workflow's history (WorkflowRun.Get) that
// it has grown. Temporal's own drops the newer event when a waiter has not yet
// taken the older one; if the newer one was the close, Get returns 20 s late,
// which befell one short workflow in a hundred. This one keeps the newer.
type notifier struct {
	mu      sync.Mutex
	waiters map[definition.WorkflowKey]map[string]chan *events.Notification
}

var _ events.Notifier = (*notifier)(nil)

func newNotifier() *notifier {
	return &notifier{waiters: map[definition.WorkflowKey]map[string]chan *events.Notification{}}
}

// NotifyNewHistoryEvent implements events.Notifier. It never blocks.
func (n *notifier) NotifyNewHistoryEvent(event *events.Notification) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, waiter := range n.waiters[event.ID] {
		latest := event
		select {
		case older := <-waiter:
			if older.NextEventID > latest.NextEventID {
				latest = older
			}
		default:
		}
		waiter <- latest // has room: only this method sends, under the lock
	}
}

// WatchHistoryEvent implements events.Notifier.
func (n *notifier) WatchHistoryEvent(key definition.WorkflowKey) (string, chan *events.Notification, error) {
	id, waiter := uuid.NewString(), make(chan *events.Notification, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiters[key] == nil {
		n.waiters[key] = map[string]chan *events.Notification{}
	}
	n.waiters[key][id] = waiter
	return id, waiter, nil
}

// UnwatchHistoryEvent implements events.Notifier.
func (n *notifier) UnwatchHistoryEvent(key definition.WorkflowKey, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.waiters[key], id)
	if len(n.waiters[key]) == 0 {
		delete(n.waiters, key)
	}
	return nil
}

// Start implements events.Notifier.
func (n *notifier) Start() {}

// Stop implements events.Notifier.
func (n *notifier) Stop() {}
