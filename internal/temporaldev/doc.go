// Package temporaldev is the Temporal server of `symbi dev`, with its Web UI,
// inside the process and on one SQLite file.
//
// It promises that nothing is open: the frontend is the only port, on loopback,
// and without the token it tells only that it is healthy; the other services and
// the Web UI listen on no port at all. A folder written by an earlier run, ended
// in whatever way, carries on where it was, and gains the search attributes it
// lacks.
//
// The server is linked into builds with the tag dev only; in others Start says
// so. Who may see the Web UI is decided by whoever mounts UIHandler.
package temporaldev
