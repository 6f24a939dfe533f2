package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

const leaseColumns = `id, namespace, agent, task, attempt, workflow_id, run_id, activity_id, resources, scratch_mb,
	priority, class, tier, state, node, epoch, requested_at, granted_at`

func scanLease(row scanner) (l store.Lease, err error) {
	err = row.Scan(&l.ID, &l.Task.Namespace, &l.Task.Agent, &l.Task.Task, &l.Attempt, &l.WorkflowID, &l.RunID, &l.ActivityID,
		jsonInto(&l.Resources), &l.ScratchMB, &l.Priority, &l.Class, &l.Tier, &l.State, &l.Node, &l.Epoch,
		timeColumn{&l.RequestedAt}, timeColumn{&l.GrantedAt})
	return l, err
}

// RequestLease writes a request; the same ID again changes nothing and gives
// what is stored. A leader that grants at once writes request and grant as
// one: a lease whose state is granted is stored as such.
func (s *Store) RequestLease(ctx context.Context, l store.Lease) (got store.Lease, err error) {
	if l.State == "" {
		l.State = store.LeaseRequested
	}
	err = s.writeEach(ctx, "request a lease", func(ctx context.Context, q Querier) error {
		resources, err := jsonText(l.Resources)
		if err != nil {
			return err
		}
		got, err = one(ctx, q, scanLease, `INSERT INTO leases (`+leaseColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
			ON CONFLICT (id) DO NOTHING RETURNING `+leaseColumns,
			l.ID, l.Task.Namespace, l.Task.Agent, l.Task.Task, l.Attempt, l.WorkflowID, l.RunID, l.ActivityID,
			resources, l.ScratchMB, l.Priority, l.Class, l.Tier, l.State, l.Node, l.Epoch, micros(l.RequestedAt), micros(l.GrantedAt))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		got, err = one(ctx, q, scanLease, `SELECT `+leaseColumns+` FROM leases WHERE id = $1`, l.ID)
		return err
	})
	return got, err
}

// GrantLease turns a request into a grant on a node under a leader's epoch.
func (s *Store) GrantLease(ctx context.Context, id agent.LeaseID, node agent.NodeID, epoch int64, at time.Time) error {
	return s.writeEach(ctx, "grant a lease", func(ctx context.Context, q Querier) error {
		n, err := exec(ctx, q, `UPDATE leases SET state = 'granted', node = $2, epoch = $3, granted_at = $4
			WHERE id = $1 AND state = 'requested'`, id, node, epoch, micros(at))
		if err == nil && n == 0 {
			return agent.Errorf(agent.ErrConflict, "lease %s is not requested, or no longer", id)
		}
		return err
	})
}

// ReleaseLease ends a request or a grant; releasing twice is no error.
func (s *Store) ReleaseLease(ctx context.Context, id agent.LeaseID) error {
	return s.writeEach(ctx, "release a lease", func(ctx context.Context, q Querier) error {
		_, err := exec(ctx, q, `UPDATE leases SET state = 'released' WHERE id = $1 AND state <> 'released'`, id)
		return err
	})
}

// OpenLeases lists requests and grants that are not released, oldest first.
func (s *Store) OpenLeases(ctx context.Context) ([]store.Lease, error) {
	open, err := list(ctx, s.engine, scanLease, `SELECT `+leaseColumns+` FROM leases
		WHERE state <> 'released' ORDER BY requested_at, id`)
	return open, s.fail("list open leases", err)
}
