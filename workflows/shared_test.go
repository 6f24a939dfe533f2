package workflows_test

import (
	"time"

	"github.com/stretchr/testify/mock"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

var (
	anything         = mock.Anything
	defaultConverter = converter.GetDefaultDataConverter()
)

const scheduleToStart = enums.TIMEOUT_TYPE_SCHEDULE_TO_START

// newEnvironment gives a test environment whose clock stands still while a
// step is under way. It does so by itself for activities only, not for local
// ones, so these are run as activities.
func newEnvironment() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&noLocal{}}})
	return env
}

type noLocal struct {
	interceptor.WorkerInterceptorBase
}

func (*noLocal) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &noLocalIn{}
	i.Next = next
	return i
}

type noLocalIn struct {
	interceptor.WorkflowInboundInterceptorBase
}

func (i *noLocalIn) Init(out interceptor.WorkflowOutboundInterceptor) error {
	o := &noLocalOut{}
	o.Next = out
	return i.Next.Init(o)
}

type noLocalOut struct {
	interceptor.WorkflowOutboundInterceptorBase
}

func (o *noLocalOut) ExecuteLocalActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return o.Next.ExecuteActivity(ctx, name, args...)
}
