// Package client is the Go SDK: the client made from openapi.yaml, and Conn on
// top of it, which knows the token, repeats what may safely be repeated, turns
// problem documents into errors of the kinds of package agent, uploads and
// downloads content, and follows logs.
package client

//go:generate go tool oapi-codegen -config oapi.yaml ../server/openapi.yaml
