package cluster

import (
	"context"

	"symbi.dev/symbi/agent"
)

// TaskChanged says that a task's row changed or that its log grew.
type TaskChanged struct {
	Task     agent.TaskRef `json:"task"`
	LogBytes int64         `json:"log_bytes,omitempty"` // of the running attempt; 0 when the row changed
}

// AnnounceTask tells whoever follows a task to look.
func (b *Bus) AnnounceTask(c TaskChanged) {
	b.publish("task."+string(c.Task.Namespace)+"."+string(c.Task.Task), c)
}

// WatchTask calls fn whenever a task may have changed.
func (b *Bus) WatchTask(ns agent.Namespace, id agent.TaskID, fn func(TaskChanged)) (Subscription, error) {
	return subscribe(b, "task."+string(ns)+"."+string(id), fn)
}

// AgentChanged says that an agent's row changed.
type AgentChanged struct {
	Agent agent.ID `json:"agent"`
}

// AnnounceAgent tells whoever watches an agent to look.
func (b *Bus) AnnounceAgent(id agent.ID) {
	b.publish("agent."+string(id.Namespace)+"."+string(id.Name), AgentChanged{Agent: id})
}

// WatchAgent calls fn whenever an agent may have changed.
func (b *Bus) WatchAgent(ref agent.Ref, fn func(AgentChanged)) (Subscription, error) {
	return subscribe(b, "agent."+string(ref.Namespace)+"."+string(ref.Name), fn)
}

// LogQuestion asks a node for a part of the log of an attempt it has.
type LogQuestion struct {
	Task    agent.TaskRef `json:"task"`
	Lease   agent.LeaseID `json:"lease"`
	Offset  int64         `json:"offset"`
	MaxSize int           `json:"max_size"`
}

// LogAnswer is a part of a log. Offset is where Bytes begin: later than what
// was asked for when bytes in between were not kept.
type LogAnswer struct {
	Offset int64  `json:"offset"`
	Bytes  []byte `json:"bytes"`
	End    bool   `json:"end,omitempty"` // nothing will follow
}

// ReadLog asks a node for a part of a log.
func (b *Bus) ReadLog(ctx context.Context, node agent.NodeID, q LogQuestion) (LogAnswer, error) {
	return ask[LogQuestion, LogAnswer](ctx, b, "node."+string(node)+".log", q)
}

// ServeLogs answers ReadLog on a node.
func (b *Bus) ServeLogs(ctx context.Context, node agent.NodeID, fn func(context.Context, LogQuestion) (LogAnswer, error)) (Subscription, error) {
	return serve(ctx, b, "node."+string(node)+".log", fn)
}

// LeaseReleased tells the scheduler's leader that resources may be free.
type LeaseReleased struct {
	Lease agent.LeaseID `json:"lease"`
}

// WakeScheduler tells the leader that there is a request or free room.
func (b *Bus) WakeScheduler() { b.publish("scheduler.wake", struct{}{}) }

// OnSchedulerWake calls fn when the leader should look.
func (b *Bus) OnSchedulerWake(fn func()) (Subscription, error) {
	return subscribe(b, "scheduler.wake", func(struct{}) { fn() })
}
