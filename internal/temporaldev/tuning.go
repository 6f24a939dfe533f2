//go:build dev

package temporaldev

import (
	dc "go.temporal.io/server/common/dynamicconfig"
)

const (
	// historyShards divides the workflows among queues that work side by side. A
	// folder keeps the number that it was made with. Each costs goroutines and
	// time at the start, and more would wait for the one database.
	historyShards = 4
	// databaseConnections is one, as SQLite has one writer: with more, writers
	// would poll for the lock where they now wait in line.
	databaseConnections = 1
	// queuePollsPerSecond bounds how often a shard looks for tasks that have come
	// up. Temporal's 20 suit many shards; with few, each step of a workflow would
	// wait up to 50 ms.
	queuePollsPerSecond = 2000
	// taskQueuePartitions is one, so that a task never lies in one partition
	// while the worker polls another.
	taskQueuePartitions = 1
	// searchesPerSecond bounds lists and searches. With Temporal's 10 the Web UI
	// in a few tabs, or a script, is turned away.
	searchesPerSecond = 200
)

// tuning is the part of Temporal's configuration that it reads as it goes.
func tuning() dc.Client {
	values := dc.StaticClient{}
	set := func(setting dc.GenericSetting, value any) { values[setting.Key()] = value }
	set(dc.TransferProcessorMaxPollRPS, queuePollsPerSecond)
	set(dc.TimerProcessorMaxPollRPS, queuePollsPerSecond)
	set(dc.VisibilityProcessorMaxPollRPS, queuePollsPerSecond)
	set(dc.OutboundProcessorMaxPollRPS, queuePollsPerSecond)
	set(dc.MatchingNumTaskqueueReadPartitions, taskQueuePartitions)
	set(dc.MatchingNumTaskqueueWritePartitions, taskQueuePartitions)
	set(dc.FrontendMaxNamespaceVisibilityRPSPerInstance, searchesPerSecond)
	set(dc.EnableServerVersionCheck, false) // it would ask a server on the internet
	return values
}
