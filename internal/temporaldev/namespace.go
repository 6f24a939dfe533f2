//go:build dev

package temporaldev

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	persistenceclient "go.temporal.io/server/common/persistence/client"
	"go.temporal.io/server/common/persistence/serialization"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	"go.temporal.io/server/common/telemetry"
	"google.golang.org/protobuf/types/known/durationpb"

	"symbi.dev/symbi/agent"
)

// ensureNamespace creates the namespace, or brings an existing one up to date:
// its retention, and the search attributes it lacks. It works on the database
// before the server reads it, so that attributes can be used from the first
// request on; a running server takes up to a minute to see them.
func ensureNamespace(ctx context.Context, c Config, p config.Persistence) error {
	manager, closeManager, err := openMetadata(p)
	if err != nil {
		return fmt.Errorf("open the namespaces of the embedded Temporal: %w", err)
	}
	defer closeManager()

	found, err := manager.GetNamespace(ctx, &persistence.GetNamespaceRequest{Name: c.Namespace})
	var absent *serviceerror.NamespaceNotFound
	switch {
	case errors.As(err, &absent):
		detail := newNamespace(c)
		if _, err := addAliases(detail.Config, c.SearchAttributes); err != nil {
			return err
		}
		if _, err := manager.CreateNamespace(ctx, &persistence.CreateNamespaceRequest{Namespace: detail}); err != nil {
			return fmt.Errorf("create namespace %s: %w", c.Namespace, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("read namespace %s: %w", c.Namespace, err)
	}

	detail := found.Namespace
	changed, err := addAliases(detail.Config, c.SearchAttributes)
	if err != nil {
		return err
	}
	if detail.Config.Retention.AsDuration() != c.Retention {
		detail.Config.Retention = durationpb.New(c.Retention)
		changed = true
	}
	if !changed {
		return nil
	}
	return updateNamespace(ctx, manager, found)
}

// openMetadata opens that part of the database which holds namespaces.
func openMetadata(p config.Persistence) (persistence.MetadataManager, func(), error) {
	serializer := serialization.NewSerializer()
	stores := persistenceclient.DataStoreFactoryProvider(clusterName, resolver.NewNoopResolver(), &p, nil,
		log.NewNoopLogger(), metrics.NoopMetricsHandler, telemetry.NoopTracerProvider, serializer)
	factory := persistenceclient.FactoryProvider(persistenceclient.NewFactoryParams{
		DataStoreFactory: stores,
		Cfg:              &p,
		ClusterName:      clusterName,
		MetricsHandler:   metrics.NoopMetricsHandler,
		Logger:           log.NewNoopLogger(),
		Serializer:       serializer,
	})
	manager, err := factory.NewMetadataManager()
	if err != nil {
		factory.Close()
		return nil, nil, err
	}
	return manager, factory.Close, nil
}

func newNamespace(c Config) *persistencespb.NamespaceDetail {
	return &persistencespb.NamespaceDetail{
		Info: &persistencespb.NamespaceInfo{
			Id:    uuid.NewString(),
			Name:  c.Namespace,
			State: enumspb.NAMESPACE_STATE_REGISTERED,
		},
		Config: &persistencespb.NamespaceConfig{
			Retention:               durationpb.New(c.Retention),
			HistoryArchivalState:    enumspb.ARCHIVAL_STATE_DISABLED,
			VisibilityArchivalState: enumspb.ARCHIVAL_STATE_DISABLED,
		},
		ReplicationConfig: &persistencespb.NamespaceReplicationConfig{
			ActiveClusterName: clusterName,
			Clusters:          []string{clusterName},
		},
		FailoverVersion:             common.EmptyVersion,
		FailoverNotificationVersion: -1,
	}
}

func updateNamespace(ctx context.Context, manager persistence.MetadataManager, found *persistence.GetNamespaceResponse) error {
	name := found.Namespace.Info.Name
	metadata, err := manager.GetMetadata(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the namespaces: %w", err)
	}
	found.Namespace.ConfigVersion++
	if err := manager.UpdateNamespace(ctx, &persistence.UpdateNamespaceRequest{
		Namespace:           found.Namespace,
		IsGlobalNamespace:   found.IsGlobalNamespace,
		NotificationVersion: metadata.NotificationVersion,
	}); err != nil {
		return fmt.Errorf("update namespace %s: %w", name, err)
	}
	return nil
}

// addAliases gives each wanted attribute a column of its type, as SQL
// visibility has a fixed set of columns that a namespace names as it likes. It
// tells whether it changed anything, and fails with ErrInvalid if a name is one
// of Temporal's, with ErrConflict if an attribute exists with another type, with
// ErrExhausted if columns run out.
func addAliases(namespace *persistencespb.NamespaceConfig, wanted map[string]enumspb.IndexedValueType) (bool, error) {
	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	column := map[string]string{}
	for col, alias := range namespace.CustomSearchAttributeAliases {
		column[alias] = col
	}
	changed := false
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		kind := wanted[name]
		if sadefs.IsReserved(name) {
			return false, agent.Errorf(agent.ErrInvalid, "search attribute %s has a name that Temporal keeps for itself; choose another", name)
		}
		if col, ok := column[name]; ok {
			if columns[col] != kind {
				return false, agent.Errorf(agent.ErrConflict, "search attribute %s is of type %s in this folder, not %s; choose another folder with --data",
					name, columns[col], kind)
			}
			continue
		}
		col, ok := freeColumn(columns, namespace.CustomSearchAttributeAliases, kind)
		if !ok {
			return false, agent.Errorf(agent.ErrExhausted, "no column of type %s is left for search attribute %s", kind, name)
		}
		if namespace.CustomSearchAttributeAliases == nil {
			namespace.CustomSearchAttributeAliases = map[string]string{}
		}
		namespace.CustomSearchAttributeAliases[col] = name
		changed = true
	}
	return changed, nil
}

func freeColumn(columns map[string]enumspb.IndexedValueType, taken map[string]string, kind enumspb.IndexedValueType) (string, bool) {
	for _, col := range slices.Sorted(maps.Keys(columns)) {
		if _, used := taken[col]; columns[col] == kind && !used {
			return col, true
		}
	}
	return "", false
}
