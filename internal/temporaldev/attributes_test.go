//go:build dev

package temporaldev_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/temporaldev"
)

const (
	keyword = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	number  = enumspb.INDEXED_VALUE_TYPE_INT
)

func attributes(all map[string]enumspb.IndexedValueType) func(*temporaldev.Config) {
	return func(c *temporaldev.Config) { c.SearchAttributes = all }
}

// findBy starts a workflow that carries an attribute and lists it by that.
func findBy(t *testing.T, s *temporaldev.Server, id string, attribute temporal.SearchAttributeUpdate, query string) {
	t.Helper()
	c := dial(t, s.ClientOptions())
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: queue, TypedSearchAttributes: temporal.NewSearchAttributes(attribute),
	}, await)
	if err != nil {
		t.Fatalf("start a workflow with the attribute: %v", err)
	}
	eventually(t, func(ctx context.Context) error {
		list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		if err != nil {
			return err
		}
		if len(list.Executions) != 1 || list.Executions[0].Execution.WorkflowId != id {
			return fmt.Errorf("%s lists %v, want %s alone", query, list.Executions, id)
		}
		return nil
	})
}

func TestSearchAttributesFindWorkflowsRightAfterStartAndNewOnesAfterTheNext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, configure(dir, attributes(map[string]enumspb.IndexedValueType{"Agent": keyword})))
	findBy(t, s, "one", temporal.NewSearchAttributeKeyKeyword("Agent").ValueSet("a-1"), "Agent = 'a-1'")
	s.Stop()

	s = start(t, configure(dir, attributes(map[string]enumspb.IndexedValueType{"Agent": keyword, "Weight": number})))
	findBy(t, s, "two", temporal.NewSearchAttributeKeyInt64("Weight").ValueSet(7), "Weight > 6 and Weight < 8")
	findBy(t, s, "three", temporal.NewSearchAttributeKeyKeyword("Agent").ValueSet("a-3"), "Agent = 'a-3'")
	s.Stop()

	s = start(t, configure(dir)) // one that is no longer asked for stays
	findBy(t, s, "four", temporal.NewSearchAttributeKeyKeyword("Agent").ValueSet("a-4"), "Agent = 'a-4'")
}

func TestSearchAttributeThatChangesItsTypeIsAConflict(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, configure(dir, attributes(map[string]enumspb.IndexedValueType{"Agent": keyword}))).Stop()

	_, err := temporaldev.Start(t.Context(), configure(dir, attributes(map[string]enumspb.IndexedValueType{"Agent": number})))
	if !errors.Is(err, agent.ErrConflict) {
		t.Fatalf("Start: %v, want a conflict", err)
	}
	if want := "search attribute Agent is of type Keyword in this folder, not Int"; !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want it to say %q", err, want)
	}
}

func TestSearchAttributeWithANameOfTemporalsOwnIsInvalid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"WorkflowId", "ExecutionStatus", "BuildIds", "TemporalThing"} {
		_, err := temporaldev.Start(t.Context(), configure(t.TempDir(), attributes(map[string]enumspb.IndexedValueType{name: keyword})))
		if !errors.Is(err, agent.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("Start with %s: %v, want invalid", name, err)
		}
	}
}

func TestMoreSearchAttributesThanColumnsAreTooMany(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wanted := map[string]enumspb.IndexedValueType{}
	for i := range 11 {
		wanted[fmt.Sprintf("Keyword%02d", i)] = keyword
	}
	_, err := temporaldev.Start(t.Context(), configure(dir, attributes(wanted)))
	if !errors.Is(err, agent.ErrExhausted) {
		t.Fatalf("Start: %v, want exhausted", err)
	}
	if want := "no column of type Keyword is left for search attribute Keyword10"; !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want it to say %q", err, want)
	}

	delete(wanted, "Keyword10")
	s := start(t, configure(dir, attributes(wanted)))
	findBy(t, s, "the last that has room", temporal.NewSearchAttributeKeyKeyword("Keyword09").ValueSet("x"), "Keyword09 = 'x'")
}

func TestRetentionOfAnExistingNamespaceFollowsTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, want := range []time.Duration{24 * time.Hour, 72 * time.Hour} {
		s := start(t, configure(dir, func(c *temporaldev.Config) { c.Retention = want }))
		c := dial(t, s.ClientOptions())
		described, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: temporaldev.DefaultNamespace})
		if err != nil {
			t.Fatal(err)
		}
		if got := described.Config.WorkflowExecutionRetentionTtl.AsDuration(); got != want {
			t.Errorf("retention is %s, want %s", got, want)
		}
		s.Stop()
	}
}

func TestNamespaceIsTheOneThatIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t, configure(t.TempDir(), func(c *temporaldev.Config) { c.Namespace = "symbi" }))
	c := dial(t, s.ClientOptions())
	work(t, c, "w")
	result[string](t, run(t, c, "greet", greet, "world"))
	if _, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "symbi"}); err != nil {
		t.Error(err)
	}
}
