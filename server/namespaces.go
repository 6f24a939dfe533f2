package server

import (
	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
)

// knownNamespace refuses paths below a namespace that does not exist.
func (s *Server) knownNamespace(c *gin.Context) {
	ns := c.Param("namespace")
	if ns == "" || agent.Namespace(ns) == agent.DefaultNamespace {
		return
	}
	s.problem(c, agent.Errorf(agent.ErrNotFound, "there is no namespace %q", ns))
}
