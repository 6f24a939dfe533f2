package boot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows/api"
)

// searchAttributes are those that our workflows carry.
func searchAttributes() map[string]enums.IndexedValueType {
	all := map[string]enums.IndexedValueType{}
	for _, name := range api.KeywordAttrs {
		all[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
	}
	for _, name := range api.KeywordListAttrs {
		all[name] = enums.INDEXED_VALUE_TYPE_KEYWORD_LIST
	}
	return all
}

// Bounds of waiting until a cluster knows its new search attributes: its
// services read a namespace anew every 10 to 60 s.
const (
	attributesWait = 2 * time.Minute
	attributesLook = 200 * time.Millisecond
)

// registerAttributes registers, in a cluster of the operator's own, those
// search attributes that it lacks, and returns when they can be used.
func (e *engines) registerAttributes(ctx context.Context, namespace string) error {
	op := e.temporal.OperatorService()
	have, err := op.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return agent.Errorf(agent.ErrUnavailable, "read Temporal's search attributes: %w", err)
	}
	lacking := map[string]enums.IndexedValueType{}
	for name, kind := range searchAttributes() {
		switch got := have.CustomAttributes[name]; got {
		case enums.INDEXED_VALUE_TYPE_UNSPECIFIED:
			lacking[name] = kind
		case kind:
		default:
			return agent.Errorf(agent.ErrConflict, "Temporal's search attribute %s is a %s and must be a %s; use a namespace of its own for Symbi", name, got, kind)
		}
	}
	if len(lacking) == 0 {
		return e.awaitAttributes(ctx, namespace)
	}
	e.logger.Info("registering search attributes with Temporal, which takes up to a minute", "count", len(lacking))
	_, err = op.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: lacking})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register Temporal's search attributes: %w", err)
	}
	return e.awaitAttributes(ctx, namespace)
}

// awaitAttributes waits until a search by all attributes is answered.
func (e *engines) awaitAttributes(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, attributesWait)
	defer cancel()
	var terms []string
	for name := range searchAttributes() {
		terms = append(terms, name+" = 'x'")
	}
	search := &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: strings.Join(terms, " AND ")}
	look := time.NewTicker(attributesLook)
	defer look.Stop()
	for {
		_, err := e.temporal.WorkflowService().CountWorkflowExecutions(ctx, search)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return agent.Errorf(agent.ErrUnavailable, "wait for Temporal to know its search attributes: %w", err)
		case <-look.C:
		}
	}
}
