package boot

import (
	"context"
	"errors"
	"fmt"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"

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

// registerAttributes registers, in a cluster of the operator's own, those
// search attributes that it lacks.
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
		return nil
	}
	_, err = op.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: lacking})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register Temporal's search attributes: %w", err)
	}
	return nil
}
