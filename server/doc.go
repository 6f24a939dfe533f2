// Package server is the HTTP front end: the REST API that openapi.yaml
// describes, live logs, the login, and the Temporal Web UI behind it.
//
// It is stateless: run as many as you like. Whatever changes something goes
// the same way: authenticate, validate, ask policy, record the attempt, write
// the row, start or signal the workflow, record the outcome. A process that
// dies between the row and the workflow is made good by the reconciler of
// any other, which reads the rows.
//
// Requests are checked against openapi.yaml before a handler sees them, and
// every error is a problem document that says what to do.
package server

//go:generate go tool oapi-codegen -config oapi.yaml openapi.yaml
