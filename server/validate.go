package server

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/gin-gonic/gin"

	"symbi.dev/symbi/agent"
)

//go:embed openapi.yaml
var openAPI []byte

// ownValidation marks operations whose body the handler reads itself.
const ownValidation = "x-own-validation"

// maxBody bounds the bodies of all requests but uploads: a manifest has 256
// KiB, parameters as much.
const maxBody = 1 << 20

// validator checks requests against the API's description.
type validator struct{ router routers.Router }

func newValidator() (*validator, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("check openapi.yaml: %w", err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("route openapi.yaml: %w", err)
	}
	return &validator{router: router}, nil
}

// validate refuses what the description does not allow, all errors at once.
func (s *Server) validate(v *validator) gin.HandlerFunc {
	return func(c *gin.Context) {
		route, params, err := v.router.FindRoute(c.Request)
		switch {
		case errors.Is(err, routers.ErrMethodNotAllowed):
			s.writeProblem(c, http.StatusMethodNotAllowed, "Not with this method", c.Request.Method+" is not for this path", nil)
			return
		case err != nil:
			// Paths whose last part may hold slashes are routed by hand; their
			// handlers check what they are given.
			return
		}
		own := route.Operation.Extensions[ownValidation] == true
		if !own {
			c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
		}
		err = openapi3filter.ValidateRequest(c.Request.Context(), &openapi3filter.RequestValidationInput{
			Request: c.Request, PathParams: params, Route: route,
			Options: &openapi3filter.Options{
				MultiError: true, ExcludeRequestBody: own,
				AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			},
		})
		if err != nil {
			s.problem(c, invalidRequest(err))
		}
	}
}

// invalidRequest makes field errors of what the validator found.
func invalidRequest(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return agent.Errorf(agent.ErrInvalid, "the body has more than %d bytes", tooLarge.Limit)
	}
	fields := requestErrors("", err)
	if len(fields) == 0 {
		return agent.Errorf(agent.ErrInvalid, "the request does not follow the API's description: %w", err)
	}
	return agent.InvalidFields("request", fields)
}

func requestErrors(where string, err error) []agent.FieldError {
	var many openapi3.MultiError
	if errors.As(err, &many) && !isLeaf(err) {
		var all []agent.FieldError
		for _, e := range many {
			all = append(all, requestErrors(where, e)...)
		}
		return all
	}
	var request *openapi3filter.RequestError
	if errors.As(err, &request) {
		switch {
		case request.Parameter != nil:
			where = request.Parameter.In + "." + request.Parameter.Name
		case request.RequestBody != nil:
			where = "body"
		}
		if request.Err == nil {
			return []agent.FieldError{{Path: where, Message: request.Reason}}
		}
		if inner := requestErrors(where, request.Err); len(inner) > 0 {
			return inner
		}
	}
	var schema *openapi3.SchemaError
	if errors.As(err, &schema) {
		path := strings.Join(append([]string{where}, schema.JSONPointer()...), ".")
		return []agent.FieldError{{Path: path, Message: schema.Reason}}
	}
	return []agent.FieldError{{Path: where, Message: firstLine(err.Error())}}
}

// isLeaf reports whether err itself says where it is, rather than being a
// bare list of errors.
func isLeaf(err error) bool {
	var request *openapi3filter.RequestError
	return errors.As(err, &request)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
