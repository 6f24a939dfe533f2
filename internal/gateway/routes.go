package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Bounds of what a sandbox may ask.
const (
	requestsPerSecond = 200
	requestsBurst     = 400
	// requestPatience is how long a request may be kept waiting for its turn.
	requestPatience = time.Second

	maxHeaderBytes = 8 << 10
	headerTimeout  = 30 * time.Second // patience costs nothing: the oldest make way
	bodyTimeout    = 30 * time.Second // the largest body is a checkpoint
	idleTimeout    = 2 * time.Minute
)

// route is what can be done at one path.
type route struct {
	methods map[string]handler
	action  agent.Action // what policy is asked; empty where nothing is
	init    bool         // it is init that calls
}

// handler answers one call; an error it returns is answered as a problem. Name
// is the rest of the path, for routes that end in "/".
type handler func(w http.ResponseWriter, r *http.Request, name string) error

// table lists the routes.
func (g *Gateway) table() map[string]route {
	get := func(h handler) map[string]handler {
		return map[string]handler{http.MethodGet: h, http.MethodHead: h}
	}
	post := func(h handler) map[string]handler { return map[string]handler{http.MethodPost: h} }
	return map[string]route{
		"/v1/task":             {methods: get(g.getTask)},
		"/v1/inputs/":          {methods: get(g.getInput)},
		"/v1/progress":         {methods: post(g.postProgress)},
		"/v1/checkpoint":       {methods: map[string]handler{http.MethodGet: g.getCheckpoint, http.MethodPut: g.putCheckpoint}},
		initproto.RouteTask:    {methods: get(g.getInitTask), init: true},
		initproto.RouteStarted: {methods: post(g.postStarted), init: true},
		initproto.RouteAlive:   {methods: post(g.postAlive), init: true},
		initproto.RouteExited:  {methods: post(g.postExited), init: true},
	}
}

// reserved are paths whose names are taken for what this version cannot do.
var reserved = []string{"/v1/messages", "/v1/memory", "/v1/knowledge", "/v1/tools", "/v1/secrets"}

// connKey is where a request's context has its connection.
type connKey struct{}

func newServer(ctx context.Context, g *Gateway) *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(g.serve),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug), // a program can cause any number
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
}

// serve answers one request.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	if !g.begin() {
		g.problem(w, r, agent.Errorf(agent.ErrUnavailable, "the runtime is restarting; try again"))
		return
	}
	defer g.calls.Done()
	path, name, rt, ok := g.find(r.URL.Path)
	c, _ := r.Context().Value(connKey{}).(*conn)
	if rt.init && c != nil {
		g.conns.pin(c)
	}
	if c == nil || !g.conns.isPinned(c) {
		if err := g.requests.wait(r.Context(), requestPatience); err != nil {
			g.problem(w, r, agent.Errorf(agent.ErrExhausted, "more than %d calls a second", requestsPerSecond))
			return
		}
	}
	if !ok {
		g.notThere(w, r)
		return
	}
	h := rt.methods[r.Method]
	if h == nil {
		w.Header().Set("Allow", allowed(rt.methods))
		writeProblem(w, http.StatusMethodNotAllowed, "This cannot be done here", path+" takes "+allowed(rt.methods))
		return
	}
	if err := g.guarded(w, r, rt, h, name); err != nil {
		g.problem(w, r, err)
	}
}

// guarded asks policy, where the route names an action, and does the call.
func (g *Gateway) guarded(w http.ResponseWriter, r *http.Request, rt route, h handler, name string) error {
	if rt.action == "" {
		return h(w, r, name)
	}
	if g.cfg.Guard == nil {
		return agent.Errorf(agent.ErrDenied, "%s is not allowed: there is no policy to ask", rt.action)
	}
	done, err := g.cfg.Guard(r.Context(), rt.action, name)
	if err != nil {
		return err
	}
	err = h(w, r, name)
	done(err)
	return err
}

// find gives the route of a path, and the rest of the path where the route
// stands for all below it.
func (g *Gateway) find(path string) (at, name string, rt route, ok bool) {
	if rt, ok = g.routes[path]; ok && !strings.HasSuffix(path, "/") {
		return path, "", rt, true
	}
	if i := strings.LastIndexByte(path, '/'); i >= 0 && i+1 < len(path) {
		rt, ok = g.routes[path[:i+1]]
		return path[:i+1], path[i+1:], rt, ok
	}
	return path, "", route{}, false
}

// notThere answers for a path without a route.
func (g *Gateway) notThere(w http.ResponseWriter, r *http.Request) {
	for _, p := range reserved {
		if r.URL.Path == p || strings.HasPrefix(r.URL.Path, p+"/") {
			writeProblem(w, http.StatusNotImplemented, "Not available yet", "this version of Symbi does not have "+p+"; the name is reserved")
			return
		}
	}
	g.problem(w, r, agent.Errorf(agent.ErrNotFound, "the gateway has no such path; see docs/program.md for those it has"))
}

func allowed(methods map[string]handler) string {
	var names []string
	for m := range methods {
		names = append(names, m)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// errTooLarge is a body beyond its limit.
var errTooLarge = errors.New("too large")
