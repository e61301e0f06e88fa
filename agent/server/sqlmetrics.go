package server

import (
	"context"
	"time"

	"github.com/hashicorp/go-metrics"
)

// databasesTick is how often a server measures its databases: it looks at each file.
const databasesTick = 10 * time.Second

// measureDatabases sets, until ctx ends:
//
//	debros.sql.databases        databases of all namespaces
//	debros.sql.databases_bytes  their files and write-ahead logs on this server
func (s *Server) measureDatabases(ctx context.Context) {
	tick := time.NewTicker(databasesTick)
	defer tick.Stop()
	for {
		n, bytes := s.store.SQLSize()
		metrics.SetGauge([]string{"sql", "databases"}, float32(n))
		metrics.SetGauge([]string{"sql", "databases_bytes"}, float32(bytes))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
