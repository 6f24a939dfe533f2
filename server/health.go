package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// checkTimeout bounds one question of /readyz.
const checkTimeout = 2 * time.Second

// live says that the process lives.
func (s *Server) live(c *gin.Context) { c.JSON(http.StatusOK, Health{Status: "ok"}) }

// ready asks everything that the front end depends on.
func (s *Server) ready(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), checkTimeout)
	defer cancel()
	health := Health{Status: "ok", Components: map[string]string{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range s.cfg.Checks {
		wg.Go(func() {
			err := check(ctx)
			mu.Lock()
			defer mu.Unlock()
			health.Components[name] = "ok"
			if err != nil {
				s.cfg.Logger.Warn("not ready", "component", name, "error", err)
				health.Components[name], health.Status = "does not answer", "unavailable"
			}
		})
	}
	wg.Wait()
	status := http.StatusOK
	if health.Status != "ok" {
		status = http.StatusServiceUnavailable
	}
	c.JSON(status, health)
}
