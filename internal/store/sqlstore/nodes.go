package sqlstore

import (
	"context"

	"symbi.dev/symbi/internal/store"
)

const nodeColumns = `id, address, version, memory_mb, cpu_cores, disk_mb, tiers, problems, enforcers, cordoned, started_at, reported_at`

func scanNode(row scanner) (n store.Node, err error) {
	err = row.Scan(&n.ID, &n.Address, &n.Version, &n.MemoryMB, &n.CPUCores, &n.DiskMB, jsonInto(&n.Tiers), jsonInto(&n.Problems),
		rawColumn{&n.Enforcers}, &n.Cordoned, timeColumn{&n.StartedAt}, timeColumn{&n.ReportedAt})
	return n, err
}

// PutNode writes a node's report in place of the one before.
func (s *Store) PutNode(ctx context.Context, n store.Node) error {
	return s.writeEach(ctx, "write a node's report", func(ctx context.Context, q Querier) error {
		tiers, err := jsonText(n.Tiers)
		if err != nil {
			return err
		}
		problems, err := jsonText(n.Problems)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `INSERT INTO nodes (`+nodeColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (id) DO UPDATE SET address = excluded.address, version = excluded.version, memory_mb = excluded.memory_mb,
				cpu_cores = excluded.cpu_cores, disk_mb = excluded.disk_mb, tiers = excluded.tiers, problems = excluded.problems,
				enforcers = excluded.enforcers, cordoned = excluded.cordoned, started_at = excluded.started_at,
				reported_at = excluded.reported_at`,
			n.ID, n.Address, n.Version, n.MemoryMB, n.CPUCores, n.DiskMB, tiers, problems,
			rawOrNull(n.Enforcers), n.Cordoned, micros(n.StartedAt), micros(n.ReportedAt))
		return err
	})
}

// ListNodes lists every node ever seen and not forgotten, by ID.
func (s *Store) ListNodes(ctx context.Context) ([]store.Node, error) {
	nodes, err := list(ctx, s.engine, scanNode, `SELECT `+nodeColumns+` FROM nodes ORDER BY id`)
	return nodes, s.fail("list nodes", err)
}
