package sqlstore

import (
	"context"

	"github.com/google/uuid"
)

// InstallationID gives the ID, made by the first caller.
func (s *Store) InstallationID(ctx context.Context) (id string, err error) {
	err = s.writeEach(ctx, "read the installation's ID", func(ctx context.Context, q Querier) error {
		_, err := exec(ctx, q, `INSERT INTO installation (singleton, id) VALUES (TRUE, $1) ON CONFLICT DO NOTHING`, uuid.NewString())
		if err != nil {
			return err
		}
		id, err = one(ctx, q, scanValue[string], `SELECT id FROM installation`)
		return err
	})
	return id, err
}
