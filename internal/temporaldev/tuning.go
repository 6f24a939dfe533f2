//go:build dev

package temporaldev

import (
	dc "go.temporal.io/server/common/dynamicconfig"
)

var historyShards int32 = 4
var maxConns = 0
var extra = dc.StaticClient{}

func tuning() dc.Client {
	values := dc.StaticClient{}
	set := func(setting dc.GenericSetting, value any) { values[setting.Key()] = value }
	for _, s := range []dc.GenericSetting{dc.TransferProcessorMaxPollRPS, dc.TimerProcessorMaxPollRPS, dc.VisibilityProcessorMaxPollRPS, dc.OutboundProcessorMaxPollRPS} {
		set(s, 2000)
	}
	set(dc.EnableServerVersionCheck, false)
	set(dc.MatchingNumTaskqueueReadPartitions, 1)
	set(dc.MatchingNumTaskqueueWritePartitions, 1)
	for k, v := range extra {
		values[k] = v
	}
	return values
}
