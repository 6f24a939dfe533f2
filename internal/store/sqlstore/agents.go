package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

const agentColumns = `namespace, name, generation, owner, labels, priority, min_tier, manifest_version, state, holds,
	active, waiting, terminating, tier, failure, seq, started, created_at, updated_at`

// ofGeneration is the condition for one generation, parameters 1 to 3.
const ofGeneration = `namespace = $1 AND name = $2 AND generation = $3`

func scanAgent(row scanner) (a store.Agent, err error) {
	err = row.Scan(&a.Namespace, &a.Name, &a.Generation, &a.Owner, jsonInto(&a.Spec.Labels), &a.Spec.Priority, &a.Spec.MinTier,
		&a.ManifestVersion, &a.State, holdsColumn{&a.Holds}, &a.Active, &a.Waiting, &a.Terminating, &a.Tier,
		jsonInto(&a.Failure), &a.Seq, &a.Started, timeColumn{&a.CreatedAt}, timeColumn{&a.UpdatedAt})
	return a, err
}

// CreateAgent writes a new generation of an agent, its first manifest and its
// idempotency record in one transaction.
func (s *Store) CreateAgent(ctx context.Context, a store.NewAgent, idem *store.Idempotency) (rec store.Agent, replayed bool, err error) {
	err = s.write(ctx, "create an agent", func(ctx context.Context, q Querier) error {
		known, err := recall(ctx, q, idem)
		if err != nil {
			return err
		}
		if known != nil {
			replayed = true
			rec, err = one(ctx, q, scanAgent, `SELECT `+agentColumns+` FROM agents WHERE `+ofGeneration,
				known.namespace, known.name, known.generation)
			return err
		}
		if rec, err = s.insertAgent(ctx, q, a); err != nil {
			return err
		}
		return remember(ctx, q, idem, subject{string(rec.Namespace), string(rec.Name), rec.Generation})
	})
	s.purgeKeys(ctx, idem)
	return rec, replayed, err
}

func (s *Store) insertAgent(ctx context.Context, q Querier, a store.NewAgent) (store.Agent, error) {
	taken := agent.Errorf(agent.ErrConflict,
		"agent %s exists; update it (`symbi apply`), or terminate it before creating it anew", a.Ref)
	prev, err := one(ctx, q, scanPredecessor, `UPDATE agents SET newest = FALSE
		WHERE namespace = $1 AND name = $2 AND newest RETURNING generation, state`, a.Namespace, a.Name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return store.Agent{}, err
	}
	if err == nil && prev.state != agent.Terminated {
		return store.Agent{}, taken
	}
	labels, err := mapOrNull(a.Spec.Labels)
	if err != nil {
		return store.Agent{}, err
	}
	// Whoever comes second here meets the index of living generations.
	rec, err := one(ctx, q, scanAgent, `INSERT INTO agents (namespace, name, generation, owner, labels, priority, min_tier,
			manifest_version, state, newest, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, TRUE, $9, $9) RETURNING `+agentColumns,
		a.Namespace, a.Name, prev.generation+1, a.Owner, labels, a.Spec.Priority, a.Spec.MinTier, agent.Initializing, micros(a.At))
	if s.is(err, FaultUnique) {
		return store.Agent{}, taken
	}
	if err != nil {
		return store.Agent{}, err
	}
	if err := insertManifest(ctx, q, rec.ID, 1, a.Manifest, micros(a.At)); err != nil {
		return store.Agent{}, err
	}
	return rec, insertLabels(ctx, q, rec.ID, a.Spec.Labels)
}

// predecessor is the generation before a new one; its zero value is none.
type predecessor struct {
	generation int64
	state      agent.State
}

func scanPredecessor(row scanner) (p predecessor, err error) {
	err = row.Scan(&p.generation, &p.state)
	return p, err
}

func insertManifest(ctx context.Context, q Querier, id agent.ID, version int64, canonical []byte, at int64) error {
	_, err := exec(ctx, q, `INSERT INTO manifests (namespace, name, generation, version, canonical, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)`, id.Namespace, id.Name, id.Generation, version, string(canonical), at)
	return err
}

// insertLabels writes labels a row each, for filters.
func insertLabels(ctx context.Context, q Querier, id agent.ID, labels map[string]string) error {
	var rows [][]any
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		rows = append(rows, []any{id.Namespace, id.Name, id.Generation, key, labels[key]})
	}
	return insertRows(ctx, q, `INSERT INTO agent_labels (namespace, name, generation, label, content)`, ``, rows)
}

// UpdateManifest writes the next version of a living agent's manifest.
func (s *Store) UpdateManifest(ctx context.Context, id agent.ID, ifVersion int64, canonical []byte, spec store.AgentSpec) (rec store.Agent, err error) {
	now := micros(time.Now())
	err = s.write(ctx, "update a manifest", func(ctx context.Context, q Querier) error {
		labels, err := mapOrNull(spec.Labels)
		if err != nil {
			return err
		}
		rec, err = one(ctx, q, scanAgent, `UPDATE agents
			SET manifest_version = manifest_version + 1, labels = $4, priority = $5, min_tier = $6, updated_at = $7
			WHERE `+ofGeneration+` AND state <> 'Terminated' AND (manifest_version = $8 OR $8 = 0) RETURNING `+agentColumns,
			id.Namespace, id.Name, id.Generation, labels, spec.Priority, spec.MinTier, now, ifVersion)
		if errors.Is(err, sql.ErrNoRows) {
			return whyNotUpdated(ctx, q, id, ifVersion)
		}
		if err != nil {
			return err
		}
		if err := insertManifest(ctx, q, id, rec.ManifestVersion, canonical, now); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `DELETE FROM agent_labels WHERE `+ofGeneration, id.Namespace, id.Name, id.Generation); err != nil {
			return err
		}
		return insertLabels(ctx, q, id, spec.Labels)
	})
	return rec, err
}

func whyNotUpdated(ctx context.Context, q Querier, id agent.ID, ifVersion int64) error {
	rec, err := one(ctx, q, scanAgent, `SELECT `+agentColumns+` FROM agents WHERE `+ofGeneration, id.Namespace, id.Name, id.Generation)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return noGeneration(id)
	case err != nil:
		return err
	case rec.State == agent.Terminated:
		return agent.Errorf(agent.ErrConflict, "agent %s is terminated; create it anew", id.Ref)
	}
	return agent.Errorf(agent.ErrConflict, "the manifest of agent %s is at version %d, not %d; read it again and apply your change to that",
		id.Ref, rec.ManifestVersion, ifVersion)
}

// Agent gives the newest generation of an agent.
func (s *Store) Agent(ctx context.Context, ref agent.Ref) (store.Agent, error) {
	rec, err := one(ctx, s.engine, scanAgent, `SELECT `+agentColumns+` FROM agents WHERE namespace = $1 AND name = $2 AND newest`,
		ref.Namespace, ref.Name)
	if errors.Is(err, sql.ErrNoRows) {
		return rec, agent.Errorf(agent.ErrNotFound, "there is no agent %s", ref)
	}
	return rec, s.fail("read an agent", err)
}

// AgentGeneration gives one generation.
func (s *Store) AgentGeneration(ctx context.Context, id agent.ID) (store.Agent, error) {
	rec, err := one(ctx, s.engine, scanAgent, `SELECT `+agentColumns+` FROM agents WHERE `+ofGeneration, id.Namespace, id.Name, id.Generation)
	if errors.Is(err, sql.ErrNoRows) {
		return rec, noGeneration(id)
	}
	return rec, s.fail("read an agent", err)
}

// Manifest gives one version of a manifest, canonical JSON; version 0 is the current one.
func (s *Store) Manifest(ctx context.Context, id agent.ID, version int64) ([]byte, error) {
	text, err := one(ctx, s.engine, scanValue[string], `SELECT canonical FROM manifests
		WHERE `+ofGeneration+` AND (version = $4 OR $4 = 0) ORDER BY version DESC LIMIT 1`,
		id.Namespace, id.Name, id.Generation, version)
	if errors.Is(err, sql.ErrNoRows) {
		if version == 0 {
			return nil, noGeneration(id)
		}
		return nil, agent.Errorf(agent.ErrNotFound, "agent %s, generation %d, has no manifest of version %d", id.Ref, id.Generation, version)
	}
	if err != nil {
		return nil, s.fail("read a manifest", err)
	}
	return []byte(text), nil
}

// MarkAgentStarted notes that the agent's workflow exists.
func (s *Store) MarkAgentStarted(ctx context.Context, id agent.ID) error {
	return s.writeEach(ctx, "note that an agent was started", func(ctx context.Context, q Querier) error {
		n, err := exec(ctx, q, `UPDATE agents SET started = TRUE WHERE `+ofGeneration+` AND NOT started`, id.Namespace, id.Name, id.Generation)
		if err != nil || n > 0 {
			return err
		}
		return agentExists(ctx, q, id)
	})
}

// agentExists gives ErrNotFound for a generation that is not there.
func agentExists(ctx context.Context, q Querier, id agent.ID) error {
	_, err := one(ctx, q, scanValue[int64], `SELECT generation FROM agents WHERE `+ofGeneration, id.Namespace, id.Name, id.Generation)
	if errors.Is(err, sql.ErrNoRows) {
		return noGeneration(id)
	}
	return err
}

func noGeneration(id agent.ID) error {
	return agent.Errorf(agent.ErrNotFound, "there is no agent %s of generation %d", id.Ref, id.Generation)
}
