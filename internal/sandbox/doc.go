// Package sandbox runs one program in one single-use container, in the tier
// that it was given, and says how that ended.
//
// A Driver speaks to the container engine of its node. Start gives a Sandbox
// for a lease, once: given again it gives the same one, also after a restart
// of the worker, which leaves containers running (Adopt finds them). What
// happens inside is told by init (cmd/symbi-init, package initproto) through
// the gateway's socket and through files in memory that outlive the container;
// the host reads them as the work of a hostile program. Remove leaves nothing.
//
// Sockets are served, and blobs are kept, by those who hand in Gateways and Sink.
package sandbox
