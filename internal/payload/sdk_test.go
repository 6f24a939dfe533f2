package payload_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"

	common "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	history "go.temporal.io/api/history/v1"
	taskqueue "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"symbi.dev/symbi/internal/payload"
)

// frontend takes what a client starts, and keeps it.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	started chan *workflowservice.StartWorkflowExecutionRequest
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (f *frontend) StartWorkflowExecution(_ context.Context, r *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	f.started <- r
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run"}, nil
}

// dial gives a client that seals, and the server that it talks to.
func dial(t *testing.T, c *payload.Codec) (client.Client, *frontend) {
	t.Helper()
	f := &frontend{started: make(chan *workflowservice.StartWorkflowExecutionRequest, 1)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, f)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	cl, err := client.DialContext(t.Context(), client.Options{
		HostPort: listener.Addr().String(), DataConverter: c.DataConverter(), FailureConverter: c.FailureConverter(), ExternalStorage: c.Storage(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl, f
}

func TestAClientSendsNothingInTheClearAndNothingLarge(t *testing.T) {
	t.Parallel()
	c := codec(t, blobs(t), key(1))
	cl, f := dial(t, c)
	large, small := strings.Repeat("wildlife", 10_000), "wildlife strike"
	_, err := cl.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "w", TaskQueue: "q", StaticSummary: "about wildlife", Memo: map[string]any{"why": "wildlife", "all": large},
	}, "count", large, small)
	if err != nil {
		t.Fatal(err)
	}
	sent := <-f.started
	wire, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wire, []byte("wildlife")) || len(wire) > 8<<10 {
		t.Errorf("%d bytes were sent, in the clear: %v", len(wire), bytes.Contains(wire, []byte("wildlife")))
	}

	var gotLarge, gotSmall string
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DataConverter: c.DataConverter(), ExternalStorage: c.Storage()})
	if err != nil {
		t.Fatal(err)
	}
	replayer.RegisterWorkflowWithOptions(func(_ workflow.Context, l, s string) error {
		gotLarge, gotSmall = l, s
		return nil
	}, workflow.RegisterOptions{Name: "count"})
	if err := replayer.ReplayWorkflowHistory(nil, recorded(sent.Input)); err != nil {
		t.Fatal(err)
	}
	if gotLarge != large || gotSmall != small {
		t.Errorf("a worker gets %d bytes and %q", len(gotLarge), gotSmall)
	}
}

// recorded is the history of a workflow that was given some input and ended.
func recorded(input *common.Payloads) *history.History {
	event := func(id int64, kind enums.EventType) *history.HistoryEvent {
		return &history.HistoryEvent{EventId: id, EventType: kind}
	}
	started := event(1, enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
	started.Attributes = &history.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &history.WorkflowExecutionStartedEventAttributes{
			WorkflowType: &common.WorkflowType{Name: "count"}, TaskQueue: &taskqueue.TaskQueue{Name: "q"},
			Input: input, OriginalExecutionRunId: "run", FirstExecutionRunId: "run",
		},
	}
	scheduled := event(2, enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
	scheduled.Attributes = &history.HistoryEvent_WorkflowTaskScheduledEventAttributes{
		WorkflowTaskScheduledEventAttributes: &history.WorkflowTaskScheduledEventAttributes{},
	}
	begun := event(3, enums.EVENT_TYPE_WORKFLOW_TASK_STARTED)
	begun.Attributes = &history.HistoryEvent_WorkflowTaskStartedEventAttributes{
		WorkflowTaskStartedEventAttributes: &history.WorkflowTaskStartedEventAttributes{ScheduledEventId: 2},
	}
	done := event(4, enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	done.Attributes = &history.HistoryEvent_WorkflowTaskCompletedEventAttributes{
		WorkflowTaskCompletedEventAttributes: &history.WorkflowTaskCompletedEventAttributes{ScheduledEventId: 2, StartedEventId: 3},
	}
	ended := event(5, enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	ended.Attributes = &history.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
		WorkflowExecutionCompletedEventAttributes: &history.WorkflowExecutionCompletedEventAttributes{WorkflowTaskCompletedEventId: 4},
	}
	return &history.History{Events: []*history.HistoryEvent{started, scheduled, begun, done, ended}}
}
