package server

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
)

// routes lays out the whole front end.
func (s *Server) routes() (http.Handler, error) {
	v, err := newValidator()
	if err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.ContextWithFallback = true
	e.HandleMethodNotAllowed = true
	e.Use(s.identify)
	e.NoRoute(func(c *gin.Context) {
		s.writeProblem(c, http.StatusNotFound, "There is no such thing", "no route "+c.Request.URL.Path+"; the API is below /v1", nil)
	})
	e.NoMethod(func(c *gin.Context) {
		s.writeProblem(c, http.StatusMethodNotAllowed, "Not with this method", c.Request.Method+" is not for this path", nil)
	})

	e.GET("/healthz", s.live)
	e.GET("/readyz", s.ready)
	e.GET("/login", s.login)
	e.GET("/", func(c *gin.Context) { c.Redirect(http.StatusFound, afterLogin) })

	rest := e.Group("", s.authenticate, s.validate(v), s.knownNamespace)
	RegisterHandlersWithOptions(rest, NewStrictHandlerWithOptions(s, nil, StrictGinServerOptions{
		RequestErrorHandlerFunc:  s.problem,
		HandlerErrorFunc:         s.problem,
		ResponseErrorHandlerFunc: s.problem,
	}), GinServerOptions{ErrorHandler: func(c *gin.Context, err error, status int) {
		s.writeProblem(c, status, "The request is not valid", err.Error(), nil)
	}})
	rest.POST("/v1/namespaces/:namespace/agents", s.createAgent)
	rest.PUT("/v1/namespaces/:namespace/agents/:agent", s.updateAgent)
	rest.GET("/v1/namespaces/:namespace/tasks/:task/logs", s.taskLogs)
	rest.GET("/v1/namespaces/:namespace/tasks/:task/artifacts/*path", s.getArtifact)
	rest.PUT("/v1/blobs/:digest", s.putBlob)
	rest.HEAD("/v1/blobs/:digest", s.headBlob)
	rest.GET("/v1/schemas/manifest", func(c *gin.Context) {
		c.Data(http.StatusOK, "application/schema+json", agent.ManifestSchema())
	})
	rest.GET("/v1/openapi.yaml", func(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", openAPI) })
	if s.cfg.Metrics != nil {
		rest.GET("/metrics", gin.WrapH(s.cfg.Metrics.Handler()))
	}

	web := e.Group("", s.people)
	if s.cfg.Codec != nil {
		web.POST("/temporal-codec/*path", gin.WrapH(http.StripPrefix("/temporal-codec", s.cfg.Codec)))
	}
	if s.cfg.TemporalUI != nil {
		web.Any("/temporal/*path", gin.WrapH(s.cfg.TemporalUI))
	}
	return e, nil
}
